"""Readings of a calm computer that is plugged in; a test names what differs."""

from agent.conditions.readings import Reading, Readings

CALM = {
    "on_mains": True,
    "charge": 90.0,
    "others_cpu": 5.0,
    "memory_free": 8000.0,
    "disk_free": 50_000.0,
    "idle": 900.0,
    "session_active": True,
    "full_screen": False,
    "temperature": 50.0,
    "metered": False,
    "online": True,
}


def calm_readings(**changes):
    return Readings(
        **{name: Reading(value, "a test") for name, value in {**CALM, **changes}.items()}
    )
