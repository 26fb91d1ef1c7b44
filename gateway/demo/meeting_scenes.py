"""Scenes of the plans of meetings (T2 - T6)."""

from gateway.demo.scenes import Scene, Step, hosted, meeting, released, telephone


def named_hosts() -> Scene:
    """T2."""
    alice, bruno = "alice@globex.example", "bruno@globex.example"
    return Scene("T2", "meetings.named_host", "globex", "meeting", (
        Step("T2.2", "Alice hosts", "admitted", hosted("design", alice)),
        Step("T2.3", "Alice cannot host a second meeting", "host_busy", hosted("review", alice),
             answers={"busy_meeting": "design"}),
        Step("T2.2", "Bruno hosts", "admitted", hosted("sales", bruno)),
        Step("T2.3", "Alice takes part in Bruno's meeting", "admitted", meeting("sales", bruno, person=alice)),
        Step("T2.7", "a third host at one time, of two", "hosts_full", hosted("legal", "chiara@globex.example")),
        Step("T2.2", "somebody without a licence", "host_not_licensed", hosted("party", "dirk@globex.example")),
        Step("T2.2", "a meeting of nobody", "host_not_licensed", meeting("party")),
        Step("T2.5", "Alice on her telephone as well", "admitted", telephone("design", "toll", person=alice)),
        Step("T2.6", "10 more: the meeting has its 12", "admitted", meeting("design"), times=10),
        Step("T2.6", "a thirteenth", "meeting_full", meeting("design")),
    ))  # fmt: skip


def corporate_access() -> Scene:
    """T3."""
    emma = "emma@hooli.example"
    return Scene("T3", "meetings.corporate_access", "hooli", "host", (
        Step("T3.1", "an employee hosts; nobody lists them", "admitted", hosted("search", emma)),
        Step("T3.1", "one of a company controlled by 60 %", "admitted", hosted("rank", "luca@nucleus.example")),
        Step("T3.1", "one of a company held by 40 %", "host_not_licensed", hosted("index", "mia@endframe.example")),
        Step("T3.4", "a contractor with an approval", "admitted", hosted("crawl", "erin@contractor.example")),
        Step("T3.4", "a contractor without one", "host_not_licensed", hosted("spam", "noah@contractor.example")),
        Step("T2.4", "an address that is no individual's", "host_not_licensed", hosted("x", "training2@hooli.example")),
        Step("T2.3", "Emma cannot host a second meeting", "host_busy", hosted("ads", emma),
             answers={"busy_meeting": "search"}),
    ), findings=("T3.2",))  # fmt: skip


def ports() -> Scene:
    """T4."""
    dana, guest = "dana@acme.example", meeting("weekly")
    return Scene("T4", "meetings.concurrent_connections", "acme", "ports", (
        Step("T4.4", "a guest is early", "host_not_present", guest),
        Step("T4.4", "Dana opens the meeting", "admitted", hosted("weekly", dana, person=dana), connection="dana"),
        Step("T4.2", "Dana's telephone is a second connection", "admitted", telephone("weekly", "toll", person=dana)),
        Step("T4.1", "a guest", "admitted", guest, connection="first"),
        Step("T4.1", "17 more: all 20 committed ports", "admitted", guest, times=17),
        Step("T4.3", "one above 20: in, and charged", "admitted (overage)", guest, connection="again"),
        Step("", "asked again: takes no second port", "replayed (overage)", guest, connection="again"),
        Step("T4.1", "9 more: the ceiling of 30", "admitted (overage)", guest, times=9),
        Step("T4.1", "one above 30", "ports_full", guest),
        Step("T4.4", "a guest moves to a breakout room of Dana's", "admitted (overage)",
             meeting("weekly-a", dana) | {"from": "weekly"}, operation="move", connection="again"),
        Step("T4.4", "who comes from outside waits for a host", "host_not_present", meeting("weekly-a", dana)),
        released("first", "a guest leaves"),
        Step("T4.5", "a meeting of somebody outside", "admitted (overage)", hosted("outside", "olga@elsewhere.example")),
        released("dana", "Dana leaves, her guests stay: a finding", "T4.4"),
    ), findings=("T4.4", "T4.5"))  # fmt: skip


def active_hosts() -> Scene:
    """T5."""
    farid = "farid@stark.example"
    return Scene("T5", "meetings.active_host_enterprise", "stark", "hosts", (
        Step("T5.1", "Farid hosts, and is an active host", "admitted", hosted("reactor", farid)),
        Step("T5.1", "so does an employee without an account", "admitted", hosted("suit", "ines@stark.example")),
        Step("T2.3", "Farid cannot host a second meeting", "host_busy", hosted("tower", farid),
             answers={"busy_meeting": "reactor"}),
        Step("T2.7", "a third host at one time, of two", "hosts_full", hosted("expo", "greta@stark.example")),
        Step("T5.1", "somebody who is no employee", "host_not_licensed", hosted("raid", "pavel@elsewhere.example")),
    ), findings=("T5.1",))  # fmt: skip


def department_hosts() -> Scene:
    """T6."""
    return Scene("T6", "meetings.active_host_group", "cyberdyne", "host", (
        Step("T6.1", "a member of the department hosts", "admitted", hosted("chip", "ivan@cyberdyne.example")),
        Step("T6.1", "another one", "admitted", hosted("arm", "julia@cyberdyne.example")),
        Step("T6.1", "one of another department", "host_not_licensed", hosted("case", "karl@cyberdyne.example")),
        Step("T6.1", "an employee whom no list names", "host_not_licensed", hosted("lab", "rosa@cyberdyne.example")),
        Step("T2.3", "Ivan cannot host a second meeting", "host_busy", hosted("net", "ivan@cyberdyne.example"),
             answers={"busy_meeting": "chip"}),
    ))  # fmt: skip
