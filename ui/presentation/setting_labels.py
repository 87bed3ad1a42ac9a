"""The name of each setting, on the Limits page and wherever a reason links to the setting that
removes it.
"""

from ui.presentation.locale_formatter import LocaleFormatter


def setting_labels(formatter: LocaleFormatter) -> dict[str, str]:
    """Map the key of every setting that a person sees to its name."""
    return {
        "cpu.share_in_use": formatter.translate("Settings", "Training while you use the computer"),
        "cpu.share_idle": formatter.translate("Settings", "Training while the computer is idle"),
        "busy.share": formatter.translate("Settings", "Wait while other programs take more than"),
        "memory.limit_mib": formatter.translate("Settings", "Most memory for training"),
        "temperature.stop_c": formatter.translate("Settings", "Stop training above"),
        "battery.rule": formatter.translate("Settings", "Train on battery"),
        "battery.stop_below": formatter.translate("Settings", "Stop below this charge"),
        "battery.start_above": formatter.translate("Settings", "Start again above this charge"),
        "idle.only": formatter.translate("Settings", "Train only while the computer is idle"),
        "idle.minutes": formatter.translate("Settings", "Idle after"),
        "hours.monday": formatter.translate("Settings", "Monday"),
        "hours.tuesday": formatter.translate("Settings", "Tuesday"),
        "hours.wednesday": formatter.translate("Settings", "Wednesday"),
        "hours.thursday": formatter.translate("Settings", "Thursday"),
        "hours.friday": formatter.translate("Settings", "Friday"),
        "hours.saturday": formatter.translate("Settings", "Saturday"),
        "hours.sunday": formatter.translate("Settings", "Sunday"),
        "network.metered": formatter.translate("Settings", "Send over a metered network"),
        "network.bytes_per_day": formatter.translate(
            "Settings", "Send nothing more after this much in 24 hours"
        ),
        "network.proxy": formatter.translate("Settings", "Proxy (http://host:port)"),
        "hold.minutes": formatter.translate(
            "Settings", "A finished update waits before it is sent"
        ),
        "sources.rows_per_day": formatter.translate(
            "Settings", "New samples a day that sources may add"
        ),
        "sources.keep_days": formatter.translate("Settings", "Keep samples that sources found for"),
        "models.update_without_consent": formatter.translate(
            "Settings", "Fetch newer models although you do not contribute"
        ),
        "budget.epsilon": formatter.translate("Settings", "Privacy budget ε of one period"),
        "budget.period_days": formatter.translate("Settings", "Length of a period"),
        "budget.lifetime_epsilon": formatter.translate(
            "Settings", "Ceiling of ε over this device's life"
        ),
        "consent.refresh_months": formatter.translate(
            "Settings", "Ask for your consent again after"
        ),
        "tray.keep_icon": formatter.translate(
            "Settings", "Keep the icon although you do not take part"
        ),
    }
