//! Recorded calls of the API and AWS's answers to them, against the service in
//! this process under paused time. The score may rise and must not fall.
//!
//! The cases do not ship: `SCONES_ASL_CORPUS` names their folder, as for the
//! interpreter's own, whose reading and comparing are used here. They were
//! recorded through boto3, so `script` gives answers the form that it gives.

#![expect(clippy::print_stdout, reason = "the score is printed")]

mod awaiting;
#[path = "../../../../scones-asl/tests/corpus/compare.rs"]
mod compare;
#[path = "../../../../scones-asl/tests/corpus/recorded.rs"]
mod recorded;
#[path = "../../../../scones-asl/tests/corpus/score.rs"]
mod score;
mod script;

use serde_json::Value;

use score::Tally;
use script::Script;

/// Where the score is kept, from the crate.
const SCORE: &str = "tests/states/corpus/score.json";
/// The account of the recordings, and this service's.
const ACCOUNTS: (&str, &str) = ("111111111111", "000000000000");

#[tokio::test(start_paused = true)]
async fn calls_are_answered_as_recorded() {
    for suite in ["api", "test_state", "validation"] {
        let Some(folder) = recorded::suite(suite) else { return };
        let mut tally = Tally::default();
        for case in recorded::cases(&folder).iter().filter(|case| can_run(case)) {
            let (id, group) = (case["id"].as_str().unwrap(), case["group"].as_str().unwrap());
            let case: Value = serde_json::from_str(&case.to_string().replace(ACCOUNTS.0, ACCOUNTS.1)).unwrap();
            let difference = Script::run(&case).await.err();
            tally.add(group, difference.is_none());
            if let Some(difference) = difference.filter(|_| recorded::shown(id)) {
                println!("{id}\n    {}", difference.chars().take(900).collect::<String>());
            }
        }
        tally.check(suite);
    }
}

/// Whether a case says what is to come out, and needs no real function.
fn can_run(case: &Value) -> bool {
    let steps = case["script"].as_array().unwrap();
    steps.iter().all(|step| step["fixture"] != "create_lambda_function") && steps.iter().any(script::is_judged)
}
