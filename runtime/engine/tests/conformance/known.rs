//! The recorded cases that are not matched, each with the reason. A case that is here and is as recorded fails the
//! test, as one does that differs and is not here.

/// In what a case differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// In what comes of it.
    Outcome,
    /// In times alone: the recording has a word in the place of each. With the word read as a time it is the same.
    Times,
    /// In how many events the history has of a type.
    Events,
}

/// A case that is not matched.
pub(super) struct Known {
    pub(super) id: &'static str,
    pub(super) kind: Kind,
    pub(super) reason: &'static str,
}

const fn known(id: &'static str, kind: Kind, reason: &'static str) -> Known {
    Known { id, kind, reason }
}

const MASKED: &str =
    "the recording has the word `date` for every StartTime and EnteredTime; read as a time it is matched";
const NO_FUNCTION: &str =
    "a real function was called, which the case does not contain: there is nothing to call";
const SORTED: &str = "the recorder sorted the events of branches that ran at the same time, and lost the ends of Parallel states";

pub(super) const KNOWN: &[Known] = &[
    known("aws/base_scenarios/parallel_state[PARALLEL_STATE]", Kind::Events, SORTED),
    known("aws/base_scenarios/parallel_state_nested", Kind::Events, SORTED),
    known("aws/error_output/parallel_catch_error[PARALLEL_CATCH_ERROR_OUTPUT]", Kind::Events, SORTED),
    known(
        "aws/teststate/map_state_failure_count[INFO-BASE_MAP_STATE]/exceeds_tolerated_failure",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/map_state_failure_count[INFO-BASE_MAP_STATE_CATCH]/exceeds_tolerated_failure",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/map_state_failure_count[DEBUG-BASE_MAP_STATE]/exceeds_tolerated_failure",
        Kind::Times,
        MASKED,
    ),
    known("aws/teststate/state_task_context_object[ALL]/test_case_response", Kind::Times, MASKED),
    known("aws/teststate/base_lambda_task_state[DEBUG]/test_case_response", Kind::Outcome, NO_FUNCTION),
    known("aws/teststate/base_lambda_task_state[TRACE]/test_case_response", Kind::Outcome, NO_FUNCTION),
    known(
        "aws/teststate/base_lambda_service_task_state[INFO]/test_case_response",
        Kind::Outcome,
        NO_FUNCTION,
    ),
    known(
        "aws/teststate/base_lambda_service_task_state[DEBUG]/test_case_response",
        Kind::Outcome,
        NO_FUNCTION,
    ),
    known(
        "aws/teststate/base_map_state_inspect[MAX_CONCURRENCY-INFO]/test_case_response",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/base_map_state_inspect[TOLERATED_FAILURE_PERCENTAGE-INFO]/test_case_response",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/base_map_state_inspect[TOLERATED_FAILURE_PERCENTAGE-DEBUG]/test_case_response",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/base_map_state_inspect[TOLERATED_FAILURE_COUNT-INFO]/test_case_response",
        Kind::Times,
        MASKED,
    ),
    known(
        "aws/teststate/base_map_state_inspect[TOLERATED_FAILURE_COUNT-DEBUG]/test_case_response",
        Kind::Times,
        MASKED,
    ),
    known("aws/teststate/state_task_catch_error[INFO]/catch_task_failed_response", Kind::Times, MASKED),
    known(
        "aws/teststate/state_task_catch_error[DEBUG]/test_catch_mock_exception_response",
        Kind::Times,
        MASKED,
    ),
    known("aws/teststate/state_task_catch_error[DEBUG]/catch_task_failed_response", Kind::Times, MASKED),
    known(
        "aws/teststate/state_task_catch_error[TRACE]/test_catch_mock_exception_response",
        Kind::Times,
        MASKED,
    ),
    known("aws/teststate/state_task_catch_error[TRACE]/catch_task_failed_response", Kind::Times, MASKED),
    known("aws/teststate/state_with_variables[base_expressions]/test_case_response", Kind::Times, MASKED),
    known(
        "statelint/task-with-credentials",
        Kind::Outcome,
        "a role in Credentials under another name than RoleArn would be ignored: AWS knows RoleArn alone; the linter does not look into Credentials",
    ),
    known(
        "asl-validator/invalid-jsonata-surround-syntax-no-spaces",
        Kind::Outcome,
        "AWS takes `{%10%}` for an expression: an expression begins with `{%` and ends with `%}`; the blanks are the linter's own wish",
    ),
    known(
        "asl-service/119",
        Kind::Outcome,
        "the arguments of an intrinsic function are separated by commas; the linter does not look into `States.Format($.template $.firstName $.lastName)`, which would fail when it runs",
    ),
    known(
        "wild/sam/app-dataquality-using-lambda/statemachine/dataquality",
        Kind::Outcome,
        "the filter compares with a bare word (`==Failure`), which is no JSONPath: what it selects is not known, so it is refused before it runs",
    ),
];
