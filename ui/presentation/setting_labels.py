"""What each setting is called, on the Limits page and wherever a reason names the setting that
lifts it. Plain Python.
"""

from ui.presentation.locale_formatter import LocaleFormatter


def setting_words(words: LocaleFormatter) -> dict[str, str]:
    """The name of every setting that a person meets, by its key."""
    return {
        "cpu.share_in_use": words.translate("Settings", "Training while you use the computer"),
        "cpu.share_idle": words.translate("Settings", "Training while the computer is idle"),
        "busy.share": words.translate("Settings", "Wait while other programs take more than"),
        "memory.limit_mib": words.translate("Settings", "Most memory for training"),
        "temperature.stop_c": words.translate("Settings", "Stop training above"),
        "battery.rule": words.translate("Settings", "Train on battery"),
        "battery.stop_below": words.translate("Settings", "Stop below this charge"),
        "battery.start_above": words.translate("Settings", "Start again above this charge"),
        "idle.only": words.translate("Settings", "Train only while the computer is idle"),
        "idle.minutes": words.translate("Settings", "Idle after"),
        "hours.monday": words.translate("Settings", "Monday"),
        "hours.tuesday": words.translate("Settings", "Tuesday"),
        "hours.wednesday": words.translate("Settings", "Wednesday"),
        "hours.thursday": words.translate("Settings", "Thursday"),
        "hours.friday": words.translate("Settings", "Friday"),
        "hours.saturday": words.translate("Settings", "Saturday"),
        "hours.sunday": words.translate("Settings", "Sunday"),
        "network.metered": words.translate("Settings", "Send over a metered network"),
        "network.bytes_per_day": words.translate("Settings", "Most that is sent in 24 hours"),
        "network.proxy": words.translate("Settings", "Proxy (http://host:port)"),
        "hold.minutes": words.translate("Settings", "A finished update waits before it is sent"),
        "models.update_without_consent": words.translate(
            "Settings", "Fetch newer models although you do not contribute"
        ),
        "budget.epsilon": words.translate("Settings", "Privacy budget ε of one period"),
        "budget.period_days": words.translate("Settings", "Length of a period"),
        "budget.lifetime_epsilon": words.translate(
            "Settings", "Ceiling of ε over this device's life"
        ),
        "consent.refresh_months": words.translate("Settings", "Ask for your consent again after"),
        "tray.keep_icon": words.translate(
            "Settings", "Keep the icon although you do not take part"
        ),
    }
