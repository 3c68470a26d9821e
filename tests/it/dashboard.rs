//! The dashboard and alerts in `contrib`: they use existing metrics, and a real Prometheus accepts them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::http::{Answer, ask};
use crate::common::scrape::Watched;
use crate::common::{has_tool, serve_tls, wait_until};
use serde_json::Value;

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(path)
}

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(contrib("grafana/dantok.json")).unwrap()).unwrap()
}

fn alerts() -> String {
    std::fs::read_to_string(contrib("prometheus/alerts.yml")).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// What every panel asks, and the annotation.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = panels(dashboard).flat_map(|panel| panel["targets"].as_array().unwrap());
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    targets.chain(annotations.filter(|annotation| annotation["builtIn"] != 1)).map(|of| text(of, "expr")).collect()
}

/// What the rules ask: some take more than a line.
fn rules(alerts: &str) -> Vec<String> {
    let rules = alerts.split("      - alert: ").skip(1).map(|rule| {
        let (_, from) = rule.split_once("expr: ").unwrap();
        let end = ["        for: ", "        labels:"].iter().filter_map(|end| from.find(end)).min().unwrap();
        from[..end].trim_start_matches("|\n").split_whitespace().collect::<Vec<_>>().join(" ")
    });
    rules.collect()
}

/// The daemon's names in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("dantok_") || word.starts_with("process_"))
}

/// Somebody has been there, so that there is something of everything.
fn visited(flags: &[&str]) -> Watched {
    // With TLS, and a certificate that nobody is shown.
    let dir = tempfile::tempdir().unwrap();
    let tls = serve_tls(dir.path());
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let watched = Watched::start_in(dir, &[&tls, flags].concat());
    visit(&watched);
    watched
}

fn visit(watched: &Watched) {
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.ask("SEND lobby 냉면");
    alice.ask("FETCH lobby");
    alice.ask("SEND nowhere hello");
}

#[test]
fn the_dashboard_shows_every_metric_and_the_alerts_use_only_existing_ones() {
    let watched = visited(&[]);
    let page = watched.page();
    let there: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let (dashboard, alerts) = (dashboard(), alerts());
    let shown: BTreeSet<&str> = expressions(&dashboard).into_iter().flat_map(names).collect();
    let rules = rules(&alerts);
    let watched_for: BTreeSet<&str> = rules.iter().flat_map(|rule| names(rule)).collect();
    assert!(shown.len() > 40 && watched_for.len() > 10, "{shown:?} {watched_for:?}");
    let missing: Vec<_> = shown.union(&watched_for).filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let of_family = |family: &str| {
        ["", "_bucket", "_sum", "_count"].iter().any(|suffix| shown.contains(&*format!("{family}{suffix}")))
    };
    let not_shown: Vec<_> =
        families.filter(|family| !of_family(family) && *family != "process_virtual_memory_bytes").collect();
    assert!(not_shown.is_empty(), "on no panel: {not_shown:?}");
}

#[test]
fn every_metric_has_a_help_text() {
    let page = visited(&[]).page();
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let help = format!("# HELP {family} ");
        let printed = page.lines().find_map(|line| line.strip_prefix(&help)).unwrap_or_default();
        assert!(printed.len() > 15 && printed.ends_with('.'), "{family}: {printed:?}");
    }
    for name in ["alice", "lobby", "냉면"] {
        assert!(!page.contains(name), "{name}: {page}");
    }
}

/// What Grafana asks of a dashboard, as far as its file says: it has a schema that what does not fit is dropped by, silently.
#[test]
fn the_dashboard_is_complete() {
    let dashboard = dashboard();
    assert_eq!((text(&dashboard, "uid"), text(&dashboard, "title")), ("dantok", "dantok"));
    // Grafana 10.2 to 11 write 38 and 39.
    assert_eq!((dashboard["schemaVersion"].as_u64(), &dashboard["id"]), (Some(39), &Value::Null));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| (text(variable, "name"), text(variable, "type"))).collect();
    assert_eq!(variables, [("datasource", "datasource"), ("job", "query"), ("instance", "query")]);
    let (mut ids, mut cells, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has another's id");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title} is beyond the grid");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} is over another");
        }
    }
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(["stat", "timeseries", "heatmap"].contains(&text(panel, "type")), "{title}");
        assert!(titles.insert(title), "{title} is there twice");
        assert!(text(panel, "description").ends_with('.'), "{title} is not described");
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        let unit = if unit.is_null() { &panel["options"]["yAxis"]["unit"] } else { unit };
        // Of those that Grafana knows.
        assert!(["none", "s", "bytes", "Bps", "cps"].contains(&unit.as_str().unwrap()), "{title}: {unit}");
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(references.insert(text(target, "refId")), "{title}");
            assert!(!text(target, "legendFormat").is_empty(), "{title}");
            for of in [panel, target] {
                assert_eq!(of["datasource"]["uid"], "${datasource}", "{title}");
                assert_eq!(of["datasource"]["type"], "prometheus", "{title}");
            }
        }
    }
    for expression in expressions(&dashboard) {
        // Each of them of those that were chosen.
        let selectors = expression.matches(r#"{job=~"$job",instance=~"$instance""#).count();
        assert_eq!(selectors, names(expression).count(), "{expression}");
    }
}

#[test]
fn promtool_accepts_the_metrics_and_the_alerts_pass_their_tests() {
    if !has_tool("promtool") {
        return;
    }
    let mut check = Command::new("promtool");
    let mut check = check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(visited(&[]).page().as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(contrib("prometheus")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // Each alert has a test.
    let tests = std::fs::read_to_string(contrib("prometheus/alerts_test.yml")).unwrap();
    for alert in alerts().lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(alert), "{alert} is in no test");
    }
}

/// What Prometheus answers; it would keep the connection.
fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// A Prometheus; killed when it is dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Prometheus {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\n\
             scrape_configs: [{{job_name: dantok, static_configs: [{{targets: [\"{target}\"]}}]}}]\n",
            contrib("prometheus/alerts.yml")
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus { child, address, dir };
        wait_until("Prometheus is ready", || {
            let ended = prometheus.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(prometheus.dir.path().join("log")).unwrap());
            std::net::TcpStream::connect(address).is_ok() && get(address, "/-/ready").status == 200
        });
        prometheus
    }

    fn api(&self, path: &str) -> Value {
        let answer = get(self.address, &format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["status"], "success", "{path}");
        answer["data"].clone()
    }

    /// How many series an expression has now.
    fn series(&self, expression: &str) -> usize {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.api(&format!("query?query={encoded}"))["result"].as_array().unwrap().len()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_prometheus_answers_every_query_of_the_dashboard() {
    if !has_tool("prometheus") {
        return;
    }
    let watched = visited(&[]);
    let prometheus = Prometheus::start(watched.address);
    wait_until("it has looked at the daemon", || {
        let targets = prometheus.api("targets")["activeTargets"].clone();
        assert_ne!(targets[0]["health"], "down", "{targets:#}");
        targets[0]["health"] == "up"
    });
    let dashboard = dashboard();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            let label = text(variable, "name");
            assert!(text(variable, "definition").starts_with("label_values(dantok_build_info"));
            let values = prometheus.api(&format!("label/{label}/values?match[]=dantok_build_info"));
            assert_eq!(values.as_array().unwrap().len(), 1, "{label}: {values}");
        }
    }
    for expression in expressions(&dashboard) {
        if expression.contains("[1m]) > 0") {
            // A start that Prometheus sees is one that it saw the end of as well.
            prometheus.series(&expression.replace("$job", ".+").replace("$instance", ".+"));
            continue;
        }
        let asked = expression.replace("$job", ".+").replace("$instance", ".+").replace("$__rate_interval", "1m");
        wait_until(expression, || {
            visit(&watched);
            prometheus.series(&asked) > 0
        });
    }
    let alerts = alerts();
    wait_until("the alerts are evaluated", || {
        let rules = prometheus.api("rules")["groups"][0]["rules"].clone();
        let rules = rules.as_array().unwrap();
        assert_eq!(rules.len(), alerts.matches("- alert: ").count());
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        rules.iter().all(|rule| rule["health"] == "ok")
    });
    // Nothing is wrong with it, but what was asked for.
    let encoded = "query?query=ALERTS%7Balertstate%3D%22firing%22%7D";
    assert_eq!(prometheus.api(encoded)["result"], serde_json::json!([]));
}
