"""Languages: the translations that are installed, and this person's way to write dates, numbers and
sizes.
"""

from importlib import resources

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale, QTranslator


class QtWords:
    """`ui.presentation.view_model.Words` over Qt's translators and locale."""

    def __init__(self, locale: QLocale) -> None:
        self._locale = locale

    @staticmethod
    def of_system() -> "QtWords":
        return QtWords(QLocale())

    def translate(self, context: str, text: str, n: int = -1) -> str:
        return QCoreApplication.translate(context, text, "", n)

    def moment(self, at: int) -> str:
        """Time alone for today, else day and time."""
        moment = QDateTime.fromSecsSinceEpoch(at)
        if moment.date() == QDateTime.currentDateTime().date():
            return str(self._locale.toString(moment.time(), QLocale.FormatType.ShortFormat))
        day = self._locale.toString(moment.date(), QLocale.FormatType.ShortFormat)
        return f"{day} {self._locale.toString(moment.time(), QLocale.FormatType.ShortFormat)}"

    def number(self, value: float, decimals: int) -> str:
        return str(self._locale.toString(float(value), "f", decimals))  # Qt takes no integer here

    def size(self, count_bytes: int) -> str:
        return str(
            self._locale.formattedDataSize(count_bytes, 1, QLocale.DataSizeFormat.DataSizeSIFormat)
        )


def install(app: QCoreApplication, locale: QLocale) -> QtWords:
    """Load the nearest translation (English where there is none) and return the words for it."""
    language = locale.name().split("_")[0]
    folder = resources.files(__package__)
    name = language if folder.joinpath(f"{language}.qm").is_file() else "en"
    translator = QTranslator(app)
    if translator.load(str(folder.joinpath(f"{name}.qm"))):
        app.installTranslator(translator)
    app.setProperty("language", name)
    return QtWords(locale if name == language else QLocale(QLocale.Language.English))


def notice_locale() -> str:
    """What the agent is asked for a notice in, such as "de-DE"; Qt's own name for no language is
    English.
    """
    name = QLocale.system().name()
    return "en" if name == "C" else name.replace("_", "-")
