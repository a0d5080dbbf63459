from grpc import aio


def changed(
    details: aio.ClientCallDetails, *, timeout: float | None = None, metadata: tuple[str, str] | None = None
) -> aio.ClientCallDetails:
    """The details of a call with another timeout, or with one more piece of metadata."""
    all_metadata = details.metadata
    if metadata is not None:
        all_metadata = aio.Metadata(*(all_metadata or ()), metadata)
    return aio.ClientCallDetails(
        details.method,
        details.timeout if timeout is None else timeout,
        all_metadata,
        details.credentials,
        details.wait_for_ready,
    )
