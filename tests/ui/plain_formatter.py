"""Plain words: English, UTC, no Qt."""

from datetime import UTC, datetime


class PlainWords:
    def translate(self, context, text, n=-1):
        return text

    def moment(self, at):
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")

    def number(self, value, decimals):
        return f"{value:.{decimals}f}"

    def size(self, count_bytes):
        return f"{count_bytes} bytes"
