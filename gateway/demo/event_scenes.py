"""Scenes of the plans of events (T11, T12)."""

from gateway.demo.scenes import Scene, Step, event, released


def per_event() -> Scene:
    """T11."""
    keynote = event("keynote")
    moderator = event("keynote", role="moderator")
    return Scene("T11", "events.per_event", "aperture", "attendees", (
        Step("T11.1", "a moderator rehearses: uses up no event", "admitted", moderator),
        Step("T11.1", "an attendee who never got connected", "admitted", event("glitch", node="media-1"),
             connection="lost"),
        released("lost", "is gone again: that uses up nothing either"),
        Step("T11.1", "a presenter opens the first event", "admitted", event("keynote", role="presenter")),
        Step("T11.1", "the second event", "admitted", event("launch"), connection="opener"),
        Step("T11.1", "a third, of two", "events_exhausted", event("encore")),
        Step("T11.3", "4 attendees: 5 with the presenter", "admitted", keynote, times=4),
        Step("T11.3", "one more than 5", "event_full", keynote),
        Step("T11.4", "98 moderators: a panel of 100", "admitted", moderator, times=98),
        Step("T11.4", "one more on the panel", "panel_full", moderator),
        released("opener", "the second event ends"),
        Step("T11.1", "and is opened again: not a third one", "admitted", event("launch")),
    ))  # fmt: skip


def unlimited() -> Scene:
    """T12."""
    results, outlook = event("results", "finance"), event("outlook", "finance")
    return Scene("T12", "events.unlimited", "umbrella", "attendees", (
        Step("T12.1", "a presenter opens the event", "admitted", results | {"role": "presenter"}, connection="opener"),
        Step("T12.1", "a second event of the one licence", "events_concurrent_full", outlook),
        Step("T12.1", "a department without a licence", "department_not_licensed", event("x", "it")),
        released("opener", "the event ends"),
        Step("T12.1", "now the other one begins", "admitted", outlook),
        Step("T11.2", "24 more: 25 attendees", "admitted", outlook, times=24),
        Step("T11.3", "one more than 25: in, and charged", "admitted (overage)", outlook),
    ))  # fmt: skip


def fallback() -> Scene:
    """T12.2."""
    return Scene("T12", "events.unlimited, with events.per_event", "oscorp", "attendees", (
        Step("T12.2", "an event takes the licence", "admitted", event("a", "media"), connection="first",
             answers={"licensed_by": "events-2026"}),
        Step("T12.2", "another one is drawn from those bought", "admitted", event("b", "media"),
             answers={"licensed_by": "one-more"}),
        Step("T12.2", "for a third there is neither", "events_exhausted", event("c", "media")),
        released("first", "the first one ends"),
        Step("T12.2", "the third takes the licence", "admitted", event("c", "media"),
             answers={"licensed_by": "events-2026"}),
    ))  # fmt: skip
