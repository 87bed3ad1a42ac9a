"""The installed translations, and this person's way of writing dates, numbers and sizes."""

from importlib import resources

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale, QTranslator


class QtFormatter:
    """Implements `LocaleFormatter` with Qt's translators and locale."""

    def __init__(self, locale: QLocale) -> None:
        self._locale = locale

    @staticmethod
    def of_system() -> "QtFormatter":
        return QtFormatter(QLocale())

    def translate(self, context: str, text: str, n: int = -1) -> str:
        return QCoreApplication.translate(context, text, "", n)

    def moment(self, at: int) -> str:
        """The time alone for today, otherwise day and time."""
        moment = QDateTime.fromSecsSinceEpoch(at)
        if moment.date() == QDateTime.currentDateTime().date():
            return str(self._locale.toString(moment.time(), QLocale.FormatType.ShortFormat))
        day = self._locale.toString(moment.date(), QLocale.FormatType.ShortFormat)
        return f"{day} {self._locale.toString(moment.time(), QLocale.FormatType.ShortFormat)}"

    def number(self, value: float, decimals: int) -> str:
        return str(self._locale.toString(float(value), "f", decimals))  # Qt accepts no integer here

    def size(self, count_bytes: int) -> str:
        return str(
            self._locale.formattedDataSize(count_bytes, 1, QLocale.DataSizeFormat.DataSizeSIFormat)
        )


def install(app: QCoreApplication, locale: QLocale) -> QtFormatter:
    """Load the nearest translation (English where there is none) and return its formatter."""
    language = locale.name().split("_")[0]
    folder = resources.files(__package__)
    name = language if folder.joinpath(f"{language}.qm").is_file() else "en"
    translator = QTranslator(app)
    if translator.load(str(folder.joinpath(f"{name}.qm"))):
        app.installTranslator(translator)
    app.setProperty("language", name)
    return QtFormatter(locale if name == language else QLocale(QLocale.Language.English))


def notice_locale() -> str:
    """The locale in which to request a notice, such as "de-DE"; "en" where Qt knows no language."""
    name = QLocale.system().name()
    return "en" if name == "C" else name.replace("_", "-")
