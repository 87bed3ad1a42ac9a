"""`ui.presentation.locale_formatter.LocaleFormatter` in English and UTC, without Qt."""

from datetime import UTC, datetime


class PlainFormatter:
    def translate(self, context, text, n=-1):
        return text

    def moment(self, at):
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")

    def number(self, value, decimals):
        return f"{value:.{decimals}f}"

    def size(self, count_bytes):
        return f"{count_bytes} bytes"
