//! The replies of services, as data: what a mocked result is compared with. From the API references of the services;
//! a service that is not here is not compared.

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Number,
    Boolean,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    Structure(&'static [Member]),
    /// Anything: a document, or what differs from call to call.
    Any,
}

/// A member of a structure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

const fn may(name: &'static str, shape: Shape) -> Member {
    Member { name, shape, required: false }
}

const fn must(name: &'static str, shape: Shape) -> Member {
    Member { name, shape, required: true }
}

const STORAGE_CLASSES: Shape = Shape::OneOf(&[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
    "FSX_ONTAP",
]);
const ENCRYPTION: Shape = Shape::OneOf(&["AES256", "aws:fsx", "aws:kms", "aws:kms:dsse"]);
const CHARGED: Shape = Shape::OneOf(&["requester"]);

const LAMBDA_INVOKE: &[Member] = &[
    may("StatusCode", Shape::Number),
    may("FunctionError", Shape::Text),
    may("LogResult", Shape::Text),
    may("Payload", Shape::Any),
    may("ExecutedVersion", Shape::Text),
];
const START_EXECUTION: &[Member] = &[must("ExecutionArn", Shape::Text), must("StartDate", Shape::Text)];
const START_SYNC_EXECUTION: &[Member] = &[
    must("ExecutionArn", Shape::Text),
    must("StartDate", Shape::Text),
    must("StopDate", Shape::Text),
    must("Status", Shape::OneOf(&["SUCCEEDED", "FAILED", "TIMED_OUT"])),
    may("StateMachineArn", Shape::Text),
    may("Name", Shape::Text),
    may("Error", Shape::Text),
    may("Cause", Shape::Text),
    may("Input", Shape::Text),
    may("Output", Shape::Text),
    may("TraceHeader", Shape::Text),
];
const PUT_EVENTS: &[Member] = &[
    may("FailedEntryCount", Shape::Number),
    may(
        "Entries",
        Shape::List(&Shape::Structure(&[
            may("EventId", Shape::Text),
            may("ErrorCode", Shape::Text),
            may("ErrorMessage", Shape::Text),
        ])),
    ),
];
const GET_OBJECT: &[Member] = &[
    may("Body", Shape::Any),
    may("DeleteMarker", Shape::Boolean),
    may("AcceptRanges", Shape::Text),
    may("Expiration", Shape::Text),
    may("Restore", Shape::Text),
    may("LastModified", Shape::Text),
    may("ContentLength", Shape::Number),
    may("ETag", Shape::Text),
    may("ChecksumCRC32", Shape::Text),
    may("ChecksumCRC32C", Shape::Text),
    may("ChecksumSHA1", Shape::Text),
    may("ChecksumSHA256", Shape::Text),
    may("MissingMeta", Shape::Number),
    may("VersionId", Shape::Text),
    may("CacheControl", Shape::Text),
    may("ContentDisposition", Shape::Text),
    may("ContentEncoding", Shape::Text),
    may("ContentLanguage", Shape::Text),
    may("ContentRange", Shape::Text),
    may("ContentType", Shape::Text),
    may("Expires", Shape::Text),
    may("WebsiteRedirectLocation", Shape::Text),
    may("ServerSideEncryption", ENCRYPTION),
    may("Metadata", Shape::Any),
    may("SSECustomerAlgorithm", Shape::Text),
    may("SSEKMSKeyId", Shape::Text),
    may("BucketKeyEnabled", Shape::Boolean),
    may("StorageClass", STORAGE_CLASSES),
    may("RequestCharged", CHARGED),
    may("ReplicationStatus", Shape::OneOf(&["COMPLETE", "PENDING", "FAILED", "REPLICA", "COMPLETED"])),
    may("PartsCount", Shape::Number),
    may("TagCount", Shape::Number),
    may("ObjectLockMode", Shape::OneOf(&["GOVERNANCE", "COMPLIANCE"])),
    may("ObjectLockRetainUntilDate", Shape::Text),
    may("ObjectLockLegalHoldStatus", Shape::OneOf(&["ON", "OFF"])),
];
const PUT_OBJECT: &[Member] = &[
    may("Expiration", Shape::Text),
    may("ETag", Shape::Text),
    may("ServerSideEncryption", ENCRYPTION),
    may("VersionId", Shape::Text),
    may("SSEKMSKeyId", Shape::Text),
    may("BucketKeyEnabled", Shape::Boolean),
    may("Size", Shape::Number),
    may("RequestCharged", CHARGED),
];
const LIST_OBJECTS: &[Member] = &[
    may("IsTruncated", Shape::Boolean),
    may(
        "Contents",
        Shape::List(&Shape::Structure(&[
            may("Key", Shape::Text),
            may("LastModified", Shape::Text),
            may("ETag", Shape::Text),
            may("Size", Shape::Number),
            may("StorageClass", STORAGE_CLASSES),
        ])),
    ),
    may("Name", Shape::Text),
    may("Prefix", Shape::Text),
    may("Delimiter", Shape::Text),
    may("MaxKeys", Shape::Number),
    may("CommonPrefixes", Shape::List(&Shape::Structure(&[may("Prefix", Shape::Text)]))),
    may("EncodingType", Shape::OneOf(&["url"])),
    may("KeyCount", Shape::Number),
    may("ContinuationToken", Shape::Text),
    may("NextContinuationToken", Shape::Text),
    may("StartAfter", Shape::Text),
    may("RequestCharged", CHARGED),
];
const SEND_MESSAGE: &[Member] = &[
    may("MD5OfMessageBody", Shape::Text),
    may("MD5OfMessageAttributes", Shape::Text),
    may("MD5OfMessageSystemAttributes", Shape::Text),
    may("MessageId", Shape::Text),
    may("SequenceNumber", Shape::Text),
];
const PUBLISH: &[Member] = &[may("MessageId", Shape::Text), may("SequenceNumber", Shape::Text)];

/// The replies, by the action: both the optimised integration and the one of the SDK.
const REPLIES: &[(&str, &[Member])] = &[
    ("lambda:invoke", LAMBDA_INVOKE),
    ("states:startExecution", START_EXECUTION),
    ("sfn:startExecution", START_EXECUTION),
    ("sfn:startSyncExecution", START_SYNC_EXECUTION),
    ("events:putEvents", PUT_EVENTS),
    ("eventbridge:putEvents", PUT_EVENTS),
    ("s3:getObject", GET_OBJECT),
    ("s3:putObject", PUT_OBJECT),
    ("s3:listObjectsV2", LIST_OBJECTS),
    ("sqs:sendMessage", SEND_MESSAGE),
    ("sns:publish", PUBLISH),
];

/// The members of the reply to `resource`. A task that waits for a job or a callback has another reply.
pub(super) fn reply(resource: &str) -> Option<&'static [Member]> {
    let action = resource.split(":::").nth(1)?;
    let action = action.strip_prefix("aws-sdk:").unwrap_or(action);
    REPLIES.iter().find(|(name, _)| *name == action).map(|(_, members)| *members)
}
