"""What the X.509 parser of cryptography raises for input that a stranger chose.

The parser is lazy and its errors share no base class: a certificate of version 105 raises
InvalidVersion, an unknown curve UnsupportedAlgorithm, a repeated extension DuplicateExtension.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

X509_ERRORS = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""Everything to catch around parsing and checking a certificate, a request or a revocation list."""
