"""How a lakehouse is reached where it is no folder: its files in a bucket of S3, or of what speaks like it, and its catalog."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jangbu.kernel.errors import ConfigurationError

S3_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """How S3 is reached. Without `endpoint` it is Amazon's; without keys they come from where Amazon's own programs look for them:
    the environment, the profile, the machine's or the pod's role. Times are in seconds; what fails is tried three times in all.

    Raises:
        ConfigurationError: the endpoint is no http or https address, or one of the keys stands without the other.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    connect_seconds: float = 5.0
    request_seconds: float = 30.0

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise ConfigurationError("The object store needs both an access key and a secret key, or neither.")
        parts = urlsplit(self.endpoint) if self.endpoint is not None else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            raise ConfigurationError(
                "The object store's endpoint is no address like https://s3.example.com:9000, without a user.",
                hint="Keys are settings of their own.",
            )

    @property
    def in_region(self) -> str | None:
        """What speaks like S3 mostly has no regions, and takes Amazon's first for its own."""
        return self.region or ("us-east-1" if self.endpoint else None)


@dataclass(frozen=True, slots=True)
class CatalogAccess:
    """What a REST catalog wants to know besides its address. `warehouse`: its name for the place of the tables, by default that
    place. Either a `token` that lasts, or a `credential` (`id:secret`), for which `token_address` (by default the catalog's own)
    gives tokens for the `scope`; an expired one is fetched anew.

    Raises:
        ConfigurationError: both a token and a credential; an address of tokens that is none, or names a user.
    """

    warehouse: str | None = None
    token: str | None = field(default=None, repr=False)
    credential: str | None = field(default=None, repr=False)
    scope: str | None = None
    token_address: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and self.credential is not None:
            raise ConfigurationError(
                "The lakehouse's catalog takes a token or a credential, not both.", hint="Leave one of them out."
            )
        parts = urlsplit(self.token_address) if self.token_address is not None else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            raise ConfigurationError(
                "The address of the catalog's tokens is no address like https://login.example.com/token, without a user.",
                hint="The credential is a setting of its own.",
            )


def is_remote(place: object) -> bool:
    return str(place).startswith(S3_SCHEME)
