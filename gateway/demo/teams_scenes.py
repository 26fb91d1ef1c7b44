"""Scenes of the plans of the Teams gateway (T7 - T10)."""

from gateway.demo.scenes import Scene, Step, released, teams


def named_organisers() -> Scene:
    """T7."""
    lena = "lena@soylent.example"
    return Scene("T7", "teams.named_host", "soylent", "host", (
        Step("T7.2", "a room joins Lena's Teams meeting", "admitted", teams("menu", lena)),
        Step("T7.1", "a browser is no room system", "endpoint_not_supported", teams("menu", lena, "web")),
        Step("T2.3", "a room for Lena's second meeting", "host_busy", teams("farm", lena),
             answers={"busy_meeting": "menu"}),
        Step("T7.2", "a meeting of somebody without a licence", "host_not_licensed", teams("x", "dan@soylent.example")),
    ))  # fmt: skip


def room_connections() -> Scene:
    """T8."""
    return Scene("T8", "teams.concurrent_connections", "initech", "teams_ports", (
        Step("T8.1", "a room joins any meeting of the customer", "admitted", teams("board"), connection="first"),
        Step("T8.1", "4 more: all 5 connections", "admitted", teams("board", endpoint="h323"), times=4),
        Step("T8.1", "a sixth, in another meeting", "teams_ports_full", teams("budget")),
        released("first", "a room leaves"),
        Step("T8.1", "now there is a connection", "admitted", teams("budget")),
        Step("T7.1", "a telephone is no room system", "endpoint_not_supported", teams("board", endpoint="pstn")),
    ))  # fmt: skip


def all_users() -> Scene:
    """T9."""
    return Scene("T9", "teams.enterprise", "tyrell", "host", (
        Step("T9.1", "a room joins any user's Teams meeting", "admitted", teams("owls", "sara@tyrell.example")),
        Step("T9.1", "also that of a shared address", "admitted", teams("desk", "reception@tyrell.example")),
        Step("T9.1", "the meeting of somebody outside", "host_not_licensed", teams("x", "tom@elsewhere.example")),
        Step("T2.3", "a room for Sara's second meeting", "host_busy", teams("eyes", "sara@tyrell.example"),
             answers={"busy_meeting": "owls"}),
    ), findings=("T3.3",))  # fmt: skip


def special_offer() -> Scene:
    """T10."""
    return Scene("T10", "teams.special_offer", "vandelay", "teams_ports", (
        Step("T10.1", "2 rooms: all that is offered", "admitted", teams("import"), times=2),
        Step("T10.3", "a third: let in, with an excess notice", "admitted (overage)", teams("export")),
        Step("T10.2", "one-touch join was not bought", "feature_not_included", teams("latex", features=["one_touch"])),
        Step("T7.1", "a browser is no room system", "endpoint_not_supported", teams("import", endpoint="web")),
    ), findings=("T10.3",))  # fmt: skip
