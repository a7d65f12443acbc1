"""LocalStack in host mode with another Lambda client, as its own Lambda needs Docker: a client of the endpoint that
STEPGRAD_LAMBDA_ENDPOINT names, or, where none is named, one that answers {} at once, so that nothing but the interpreter
is measured. The port is GATEWAY_LISTEN's.
"""

import io
import os

import boto3
from botocore.config import Config
from localstack.services.stepfunctions.asl.utils import boto_client

ORIGINAL = boto_client.boto_client_for
ENDPOINT = os.environ.get("STEPGRAD_LAMBDA_ENDPOINT")
# Seconds: no function may take longer, and a call may wait for its turn.
LONGEST_CALL = 1_800
# A Map of Maps calls 40 x 40 at once.
CALLS_AT_ONCE = 1_600


class Empty:
    def invoke(self, **_):
        metadata = {"HTTPHeaders": {}, "HTTPStatusCode": 200, "RequestId": "empty", "RetryAttempts": 0}
        return {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "Payload": io.BytesIO(b"{}"),
            "ResponseMetadata": metadata,
        }


def endpoint():
    """The real SDK, which sees replies and errors as it would those of AWS. A call is made once: it is the state machine
    that tries again."""
    return boto3.client(
        "lambda",
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=LONGEST_CALL, max_pool_connections=CALLS_AT_ONCE
        ),
    )


LAMBDA = endpoint() if ENDPOINT else Empty()


def client_for(service, *args, **kwargs):
    return LAMBDA if service == "lambda" else ORIGINAL(service, *args, **kwargs)


# Before anything imports the function by name.
boto_client.boto_client_for = client_for

from localstack.runtime.main import main  # noqa: E402
from localstack.services.stepfunctions.asl.component.state.state_execution.state_task.service import (  # noqa: E402
    state_task_service_callback,
)

if ENDPOINT:
    # It looks every half second whether a child execution has ended, and a training of seconds has dozens of them.
    state_task_service_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = 0.02

main()
