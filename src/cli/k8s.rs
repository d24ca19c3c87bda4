//! `cutover plan --k8s`: a Kubernetes CronJob that runs the job, with requests and limits from the prediction.
//!
//! ```text
//! requests.memory   the most that the run will hold, as predicted
//! limits.memory     --memory and what every run may need above it
//! requests.cpu      one per thread
//! ```
//! The run in the container gets the memory and the threads of the plan, so that the prediction holds there.
//!
//! Not for: predicting (`pipeline`).

use crate::report::PlanReport;

/// What a process may need above `--memory`: the 80 MiB that are promised, and pages of its program.
const ABOVE_MEMORY: u64 = 128 << 20;
/// Longest name of a CronJob.
const LONGEST_NAME: usize = 52;
const MIB: u64 = 1 << 20;

/// What a plan does not know.
pub(super) struct Request<'a> {
    pub(super) schedule: &'a str,
    pub(super) image: &'a str,
    /// The arguments of `cutover`.
    pub(super) arguments: &'a [String],
    /// Those among them whose value a run of another day may need to be another.
    pub(super) fixed: &'a [String],
}

/// Warns that every start has the same values.
pub(super) fn always(fixed: &[String]) -> String {
    format!(
        "every start of this CronJob runs with {}; a value that changes, such as a date, has to be filled in where the \
         container starts, or by a scheduler that starts one job for each day",
        fixed.join(" ").replace(char::is_control, " ")
    )
}

/// The manifest, as YAML.
pub(super) fn cron_job(report: &PlanReport, request: &Request<'_>) -> String {
    let arguments: Vec<String> = request.arguments.iter().map(|word| quoted(word)).collect();
    let asked = report.predicted.memory.div_ceil(MIB);
    let limit = (report.memory_budget + ABOVE_MEMORY).div_ceil(MIB).max(asked);
    let needed = |bytes: Option<u64>, what: &str| match bytes {
        Some(bytes) => format!("{} MiB for {what}", bytes.div_ceil(MIB)),
        None => format!("an unknown size for {what}"),
    };
    let (version, spill) = (needed(report.disk_bytes, "a version"), needed(report.spill_bytes, "spilled data"));
    let always =
        if request.fixed.is_empty() { String::new() } else { format!("# WARNING: {}.\n", always(request.fixed)) };
    let (mut comment, mut environment) = ("", "");
    if report.object_reads.is_some() || report.object_store.is_some() {
        comment = "# The container needs the settings of the object store: give it a Secret with AWS_ACCESS_KEY_ID and others by\n\
                   # envFrom (docs/object-stores.md).\n";
        environment = "\n              env: [{name: CUTOVER_WORK_DIR, value: /cutover/work}]";
    }
    format!(
        "\
{always}{comment}# Predicted from {basis}. The volume needs {version}, {spill}, and the versions that are kept.
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: {schedule}
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: Never
          securityContext: {{runAsNonRoot: true, runAsUser: 10001, fsGroup: 10001}}
          containers:
            - name: run
              image: {image}
              args: [{arguments}]{environment}
              resources:
                requests: {{cpu: \"{threads}\", memory: {asked}Mi}}
                limits: {{memory: {limit}Mi}}
              volumeMounts: [{{name: work, mountPath: /cutover}}]
          volumes:
            - name: work
              persistentVolumeClaim: {{claimName: cutover}}
",
        basis = report.predicted.basis.replace(char::is_control, " "),
        name = name(&report.dataset),
        schedule = quoted(request.schedule),
        image = quoted(request.image),
        arguments = arguments.join(", "),
        threads = report.threads,
    )
}

/// A string of YAML, which takes those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The dataset as the name of an object of Kubernetes: small letters, digits and dashes.
fn name(dataset: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = dataset.chars().map(letter).take(LONGEST_NAME).collect();
    match name.trim_matches('-') {
        "" => "cutover".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        assert_eq!(name("views_by_age"), "views-by-age");
        assert_eq!(name("_Ä"), "cutover");
        assert_eq!(name(&"a".repeat(80)).len(), LONGEST_NAME);
    }

    #[test]
    fn strings_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\": b\n"), r#""a\": b\n""#);
    }
}
