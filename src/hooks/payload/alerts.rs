//! Alerts, as Alertmanager (version 4 of its webhooks) and Grafana send them.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::json::{array, at, first, line, number, scalar, text};
use crate::secrets::hex;

/// Alerts of a group that are listed.
const ALERTS_MAX: usize = 20;

/// Whether this is a group of alerts.
pub(super) fn is_group(value: &Value) -> bool {
    value.get("alerts").is_some_and(Value::is_array) && value.get("status").is_some_and(Value::is_string)
}

/// Whether Grafana has sent this: a group with a title, or an alert of before version 9.
pub(super) fn is_of_grafana(value: &Value) -> bool {
    is_old(value) || is_group(value) && value.get("title").is_some_and(Value::is_string)
}

fn is_old(value: &Value) -> bool {
    value.get("ruleName").is_some() && value.get("state").is_some()
}

/// The text of a group.
pub(super) fn read(group: &Value) -> String {
    if is_old(group) {
        let state = line(text(group, "state")).to_uppercase();
        let title = format!("{state}: {}", line(first(group, &["ruleName", "title"])));
        let mut lines = vec![title];
        lines.extend(non_empty(text(group, "message").trim()));
        lines.extend(non_empty(&line(text(group, "ruleUrl"))));
        return lines.join("\n");
    }
    let mut lines = vec![title(group)];
    let written = text(group, "message").trim();
    // Grafana's own template repeats what the alerts have, in many lines.
    if !written.is_empty() && !["**Firing**", "**Resolved**"].iter().any(|default| written.starts_with(default)) {
        lines.push(written.to_owned());
    } else {
        let alerts = array(group, "alerts");
        lines.extend(alerts.iter().take(ALERTS_MAX).map(|alert| describe(group, alert)));
        let more = alerts.len().saturating_sub(ALERTS_MAX) as u64 + number(group, "truncatedAlerts");
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
    }
    lines.extend(non_empty(&line(text(group, "externalURL"))));
    lines.join("\n")
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn title(group: &Value) -> String {
    let written = line(text(group, "title"));
    if !written.is_empty() {
        return written;
    }
    let status = line(text(group, "status")).to_uppercase();
    let count = array(group, "alerts").iter().filter(|alert| text(alert, "status") == text(group, "status")).count();
    let common = labels(&group["commonLabels"]);
    let name = common.get("alertname").cloned().unwrap_or_else(|| line(text(group, "receiver")));
    let by = labels(&group["groupLabels"]);
    let by: Vec<String> = by
        .iter()
        .filter(|(label, _)| *label != "alertname")
        .map(|(label, value)| format!(" {label}={value}"))
        .collect();
    format!("[{status}:{count}] {name}{}", by.concat())
}

/// One alert: its summary, and the labels that it does not share with the others.
fn describe(group: &Value, alert: &Value) -> String {
    let (labels, common) = (labels(&alert["labels"]), labels(&group["commonLabels"]));
    let summary =
        first(alert, &["annotations.summary", "annotations.title", "annotations.message", "annotations.description"]);
    let is_alone = array(group, "alerts").len() == 1;
    let own: Vec<String> = labels
        .iter()
        .filter(|(label, value)| *label != "alertname" && (is_alone || common.get(*label) != Some(*value)))
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    let name = labels.get("alertname").map(String::as_str).unwrap_or_default();
    let mut described = match line(summary) {
        summary if summary.is_empty() => name.to_owned(),
        summary => summary,
    };
    if !own.is_empty() {
        described = format!("{described} ({})", own.join(" "));
    }
    let is_otherwise = text(alert, "status") != text(group, "status");
    let status = if is_otherwise { format!("{}: ", line(text(alert, "status"))) } else { String::new() };
    let link = line(first(alert, &["annotations.runbook_url", "panelURL", "dashboardURL"]));
    let link = if link.is_empty() { link } else { format!(" {link}") };
    format!("- {status}{}{link}", described.trim())
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels.map(|(label, value)| (line(label), line(&scalar(value)))).collect()
}

/// What is the same when a notification is sent again: the group, which alerts it has in which states since when, and its text.
pub(super) fn id(group: &Value, shown: &str) -> String {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    for name in ["receiver", "groupKey", "status", "state"] {
        add(text(group, name));
    }
    for name in ["ruleId", "orgId"] {
        add(&scalar(at(group, name)));
    }
    for alert in array(group, "alerts") {
        let is_over = text(alert, "status") == "resolved";
        add(text(alert, "fingerprint"));
        add(text(alert, "status"));
        add(text(alert, "startsAt"));
        // As long as it fires, the end is a guess that moves.
        add(if is_over { text(alert, "endsAt") } else { "" });
    }
    add(shown);
    let id = hex(&hasher.finalize());
    format!("alerts-{}", id.get(..40).unwrap_or_default())
}
