//! The page of `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};
use tokio::runtime::RuntimeMetrics;

use super::process;
use crate::http::Watched;
use crate::hub::Hub;
use crate::survey::{BEHIND, Survey};
use dantok_store::count::Counted;
use dantok_store::limits::FREE_SPACE_MIN_BYTES;

/// The content type of the page.
pub(super) const CONTENT: &str = TEXT_FORMAT;

/// How many counted units make one exported unit: nanoseconds in a second, and messages in a message.
const NS: f64 = 1e9;
const ONE: f64 = 1.0;

/// A page under construction.
#[derive(Default)]
pub(super) struct Page(Vec<MetricFamily>);

/// The text of the page.
///
/// # Errors
/// Why it could not be made.
pub(super) async fn page(watched: Arc<Watched>) -> Result<String, String> {
    let runtime = tokio::runtime::Handle::current().metrics();
    let made = tokio::task::spawn_blocking(move || {
        let mut page = Page::default();
        page.labelled(
            MetricType::GAUGE,
            "dantok_build_info",
            "Always 1; its label says which version this is.",
            "version",
            [(env!("CARGO_PKG_VERSION"), 1.0)],
        );
        page.gauge(
            "dantok_ready",
            "1 while clients are served and what they send is taken, as /readyz says; otherwise 0.",
            number(watched.ready().is_ok()),
        );
        #[cfg(feature = "tls")]
        if let certificates @ [_, ..] = &*watched.certificates() {
            page.labelled(
                MetricType::GAUGE,
                "dantok_tls_certificate_expires_seconds",
                "Seconds until the first certificate of a chain expires; below 0 once it has.",
                "purpose",
                certificates.iter().copied(),
            );
        }
        process::add(&mut page, watched.started);
        of_runtime(&mut page, &runtime);
        if let Some(hub) = watched.hub() {
            let (survey, store) = (hub.survey(), hub.store.figures());
            of_commits(&mut page, &hub, &store);
            of_messages(&mut page, &hub, &survey, &store);
            of_connections(&mut page, &hub, &survey);
            of_readers(&mut page, &survey);
            of_disk(&mut page, &survey, &store);
        }
        TextEncoder::new().encode_to_string(&page.0).map_err(|error| format!("can't write the page: {error}"))
    });
    made.await.map_err(|error| format!("making the page failed: {error}"))?
}

fn number(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn seconds(age: Option<Duration>) -> f64 {
    age.unwrap_or_default().as_secs_f64()
}

impl Page {
    fn family(&mut self, of: MetricType, name: &str, help: &str, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_field_type(of);
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// Adds a value that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(MetricType::COUNTER, name, help, vec![metric(MetricType::COUNTER, value)]);
    }

    /// Adds a value that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(MetricType::GAUGE, name, help, vec![metric(MetricType::GAUGE, value)]);
    }

    /// Adds a value for each value of a label.
    fn labelled<'a>(
        &mut self,
        of: MetricType,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let labelled = values.into_iter().map(|(named, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(label.to_owned());
            pair.set_value(named.to_owned());
            let mut metric = metric(of, value);
            metric.set_label(vec![pair]);
            metric
        });
        self.family(of, name, help, labelled.collect());
    }

    /// Adds a histogram, of which `to_one` counted units make one exported unit.
    fn histogram(&mut self, name: &str, help: &str, counted: &Counted, to_one: f64) {
        let bucket = |(bound, count): &(u64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / to_one);
            bucket.set_cumulative_count(*count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(counted.buckets.iter().map(bucket).collect());
        histogram.set_sample_count(counted.count);
        histogram.set_sample_sum(counted.sum as f64 / to_one);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.family(MetricType::HISTOGRAM, name, help, vec![metric]);
    }
}

fn metric(of: MetricType, value: f64) -> Metric {
    let mut metric = Metric::default();
    if of == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn of_commits(page: &mut Page, hub: &Hub, store: &dantok_store::Figures) {
    let (figures, (queued, in_flight)) = (&hub.figures, hub.committer.waiting());
    page.counter(
        "dantok_commits_total",
        "Commits since the start: queued requests, made durable by one fdatasync.",
        figures.commits.get() as f64,
    );
    page.histogram(
        "dantok_commit_fdatasync_seconds",
        "How long the fdatasync of a commit took. Every sender waits for one.",
        &store.syncs,
        NS,
    );
    page.histogram(
        "dantok_commit_messages",
        "Messages in a commit; 0 if it only changed cursors, memberships or rooms.",
        &figures.commit_messages.counted(),
        ONE,
    );
    page.gauge(
        "dantok_commit_running_seconds",
        "How long the commit under way has taken so far; 0 while there is none. It grows while the disk hangs.",
        seconds(figures.committing()),
    );
    page.gauge(
        "dantok_commit_queue_requests",
        "Requests that wait for a commit, not counting those in one.",
        queued as f64,
    );
    page.gauge(
        "dantok_commit_queue_bytes",
        "Memory of all unanswered requests, waiting or in a commit.",
        in_flight as f64,
    );
    page.gauge(
        "dantok_journal_memory_bytes",
        "Memory of messages that are durable in the journal and have not moved into the store yet.",
        store.unmoved_bytes as f64,
    );
    page.gauge(
        "dantok_recent_memory_bytes",
        "Memory of messages that have moved, kept for readers.",
        store.recent_bytes as f64,
    );
}

fn of_messages(page: &mut Page, hub: &Hub, survey: &Survey, store: &dantok_store::Figures) {
    let figures = &hub.figures;
    let counters = [
        ("dantok_messages_stored_total", "Messages stored since the start.", &figures.messages),
        (
            "dantok_message_bytes_stored_total",
            "Bytes of the bodies of messages stored since the start.",
            &figures.bytes,
        ),
        (
            "dantok_messages_handed_total",
            "Messages handed to clients since the start, once for each client and each time.",
            &figures.handed,
        ),
        (
            "dantok_message_bytes_handed_total",
            "Bytes of the bodies of messages handed to clients since the start.",
            &figures.handed_bytes,
        ),
    ];
    for (name, help, counter) in counters {
        page.counter(name, help, counter.get() as f64);
    }
    page.counter(
        "dantok_messages_expired_total",
        "Messages dropped since the start because they were past retention.",
        store.expired_messages as f64,
    );
    page.counter(
        "dantok_message_bytes_expired_total",
        "Bytes that those took in the store, before any compression, including metadata.",
        store.expired_bytes as f64,
    );
    page.gauge(
        "dantok_messages",
        "Messages that are stored now. Those past retention count until they are dropped.",
        survey.stored_messages as f64,
    );
    page.gauge(
        "dantok_message_bytes",
        "Bytes that those take in the store, including metadata.",
        survey.stored_bytes as f64,
    );
    page.gauge(
        "dantok_oldest_message_age_seconds",
        "Age of the oldest stored message; 0 if there is none. Far above the longest retention, expiry does not work.",
        survey.oldest.as_secs_f64(),
    );
    page.gauge(
        "dantok_retention_seconds",
        "How long every message is kept at least. Rooms may keep theirs longer.",
        hub.settings.retention().as_secs_f64(),
    );
    page.gauge("dantok_rooms", "The number of existing rooms.", survey.rooms as f64);
    page.gauge(
        "dantok_memberships",
        "Members of rooms: a client, or a device of one, counts once for each of its rooms.",
        survey.memberships as f64,
    );
}

fn of_connections(page: &mut Page, hub: &Hub, survey: &Survey) {
    let figures = &hub.figures;
    page.gauge("dantok_connections", "Open connections.", figures.connections() as f64);
    page.gauge(
        "dantok_connections_max",
        "The limit of open connections, --max-connections.",
        hub.settings.get().limits.connections_max as f64,
    );
    page.gauge("dantok_clients", "Connected clients and devices of clients.", survey.clients as f64);
    page.counter(
        "dantok_connections_accepted_total",
        "Connections accepted since the start.",
        figures.accepted.get() as f64,
    );
    page.labelled(
        MetricType::COUNTER,
        "dantok_connections_refused_total",
        "Connections turned away since the start, because the limit of all connections (connections) or of those from one address (address) was reached.",
        "reason",
        figures.turned_away().map(|(why, count)| (why, count as f64)),
    );
    page.counter(
        "dantok_network_received_bytes_total",
        "Bytes received from clients since the start; with TLS, those inside it.",
        figures.received_bytes.get() as f64,
    );
    page.counter(
        "dantok_network_sent_bytes_total",
        "Bytes sent to clients since the start; with TLS, those inside it.",
        figures.sent_bytes.get() as f64,
    );
    page.labelled(
        MetricType::COUNTER,
        "dantok_errors_total",
        "Error replies to clients since the start, by code: see protocol.md.",
        "code",
        figures.errors().map(|(code, count)| (code.as_str(), count as f64)),
    );
}

fn of_readers(page: &mut Page, survey: &Survey) {
    page.gauge(
        "dantok_followers",
        "Active FOLLOWs: a connection counts once for each room that it follows.",
        survey.followers as f64,
    );
    page.gauge(
        "dantok_follower_lag_max_messages",
        "Messages of a room not yet pushed to the follower that is furthest behind. It grows while a follower does not read.",
        survey.lag as f64,
    );
    let behind = BEHIND.map(|messages| messages.to_string());
    page.labelled(
        MetricType::GAUGE,
        "dantok_followers_behind",
        "Followers that are more messages of a room behind than the label says.",
        "more_than",
        behind.iter().map(String::as_str).zip(survey.followers_behind.map(|count| count as f64)),
    );
    page.labelled(
        MetricType::GAUGE,
        "dantok_oldest_unread_age_seconds",
        "Age of the oldest stored message that some member of its room has not acknowledged (member), or some group has not done (group); 0 if there is none.",
        "kind",
        [("member", seconds(survey.oldest_unread)), ("group", seconds(survey.oldest_undone))],
    );
}

fn of_disk(page: &mut Page, survey: &Survey, store: &dantok_store::Figures) {
    page.gauge(
        "dantok_disk_used_bytes",
        "Disk space that the data directory takes: journal, segments, index and the ballast for a restart.",
        survey.disk_bytes as f64,
    );
    if let Some(free) = store.free_bytes {
        page.gauge("dantok_disk_free_bytes", "Free space on the data directory's file system.", free as f64);
    }
    page.gauge("dantok_disk_free_min_bytes", "Free space below which writes are refused.", FREE_SPACE_MIN_BYTES as f64);
    page.gauge(
        "dantok_store_refuses_writes",
        "1 while writes are refused because the disk is nearly full; otherwise 0.",
        number(store.is_short_of_space),
    );
    page.gauge(
        "dantok_store_failed",
        "1 once a write or a sync has failed: nothing is acknowledged any more, and the daemon is about to exit.",
        number(store.has_failed),
    );
}

fn of_runtime(page: &mut Page, runtime: &RuntimeMetrics) {
    let busy = (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker));
    page.gauge("dantok_tokio_workers", "Worker threads that run tasks.", runtime.num_workers() as f64);
    page.gauge(
        "dantok_tokio_tasks",
        "Tasks alive: one for each connection, and some of the daemon's own.",
        runtime.num_alive_tasks() as f64,
    );
    page.gauge(
        "dantok_tokio_queued_tasks",
        "Tasks in the queue that all workers share. It grows while they are all busy.",
        runtime.global_queue_depth() as f64,
    );
    page.counter(
        "dantok_tokio_busy_seconds_total",
        "Time that workers were busy, summed over all of them.",
        busy.sum::<Duration>().as_secs_f64(),
    );
}
