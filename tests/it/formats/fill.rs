//! What a fixture holds, and what its daemon says of it: the same for every version, as far as it has what is asked for.

use crate::common::Daemon;

/// Who has been in every room from the start, and acknowledged nothing.
const AUDITOR: &str = "auditor";

const LINES: [&str; 12] = [
    "좋은 아침이에요! 오늘 배포는 세 시죠?",
    "morning! yes, three o'clock, if the tests are green",
    "테스트는 다 통과했어요 ✅ 로그만 한 번 더 볼게요",
    "the disk on db2 is at 81 %, I am moving the old dumps away",
    "고마워요 🙏 끝나면 알려 주세요",
    "who has the key for the server room?",
    "제가 가지고 있어요. 2층 서랍에 넣어 둘게요",
    "lunch? the place with the cold noodles opens at half past eleven",
    "냉면 좋아요 🍜 네 명 자리 맡아 주세요",
    "the graph of commits a second looks odd since noon, is that the new batch size?",
    "네, 어제 바꿨어요. 그래프 축도 고쳐야 해요",
    "I'll write it into the wiki: \\n is no line end here, just a backslash and an n",
];

/// What a daemon knows to do.
struct Knows(String);

impl Knows {
    fn of(daemon: &Daemon) -> Knows {
        Knows(daemon.lines(AUDITOR).ask("HELP").join("\n"))
    }

    fn verb(&self, verb: &str) -> bool {
        self.0.lines().any(|line| line.starts_with(&format!("HELP {verb} ")))
    }

    fn usage(&self, part: &str) -> bool {
        self.0.contains(part)
    }
}

fn ok(daemon: &Daemon, client: &str, commands: &[&str]) {
    let mut lines = daemon.lines(client);
    for command in commands {
        let answer = lines.ask(command).pop().unwrap();
        assert!(answer.starts_with("OK"), "{command}: {answer}");
    }
}

/// Before its first stop: most of it, which is where a store has it in the end.
pub fn first(daemon: &Daemon) {
    let knows = Knows::of(daemon);
    ok(daemon, "alice", &["CREATE lobby 무슨 이야기든, anything goes", "JOIN lobby", "NICK 앨리스"]);
    ok(daemon, "bob/phone", &["JOIN lobby", "JOIN 단톡방"]);
    ok(daemon, "carol", &["JOIN lobby", "JOIN quiet", "JOIN 단톡방", "LEAVE 단톡방"]);
    ok(daemon, AUDITOR, &["JOIN lobby", "JOIN 단톡방", "JOIN quiet"]);
    // One at a time, and many in one commit.
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob/phone"));
    for (n, line) in LINES.iter().enumerate() {
        let sender = if n % 2 == 0 { &mut alice } else { &mut bob };
        assert!(sender.ask(&format!("SEND id=m-{n} lobby {line}"))[0].starts_with("OK "));
    }
    let many: String =
        (0..120).map(|n| format!("SEND id=p-{n} 단톡방 {n}: {}\n", LINES[n % LINES.len()].repeat(1 + n % 3))).collect();
    bob.send_bytes(many.as_bytes());
    (1..=120).for_each(|seq| assert_eq!(bob.answer(), [format!("OK {seq}")]));
    alice.send_bytes(b"SENDB id=b-0 lobby 10\n\0\x1b[2J\xff\n\r\n\t\nSENDB id=b-1 lobby 0\n\n");
    (13..=14).for_each(|seq| assert_eq!(alice.answer(), [format!("OK {seq}")]));
    // Larger than what is moved out of the journal.
    let large = LINES.join(" ").repeat(40);
    assert_eq!(alice.ask(&format!("SEND id=large lobby {large}")), ["OK 15"]);
    ok(daemon, "alice", &["ACK lobby 12"]);
    ok(daemon, "bob/phone", &["ACK lobby 15", "ACK 단톡방 100"]);
    ok(daemon, "carol", &["ACK lobby 3"]);
    if knows.verb("INVITE") {
        ok(daemon, "alice", &["CREATE --private plans Not for everybody", "JOIN plans", "INVITE plans bob"]);
        ok(daemon, "alice", &["INVITE plans auditor", "BAN plans dave", "RETAIN plans 30d cap=1MiB"]);
        ok(daemon, AUDITOR, &["JOIN plans"]);
        ok(daemon, "alice", &["SEND plans The code is 1234", "SEND plans Let's meet at six"]);
    }
    if knows.verb("GROUP") {
        ok(daemon, "alice", &["GROUP lobby workers timeout=60s", "TAKE lobby workers 3"]);
        ok(daemon, "alice", &["DONE lobby workers 1", "DONE lobby workers 3"]);
    }
}

/// Behind a restart, and before the kill: the newest, which only the journal may have.
pub fn second(daemon: &Daemon) {
    let knows = Knows::of(daemon);
    ok(daemon, "bob/phone", &["SEND id=late-0 lobby 이건 다시 시작한 다음이에요", "ACK lobby 16", "NICK 밥"]);
    ok(daemon, "carol", &["CREATE late Made last", "JOIN late", "SEND id=late-1 late the first one here"]);
    ok(daemon, AUDITOR, &["JOIN late"]);
    if knows.usage("[reply=<seq>]") {
        ok(daemon, "alice", &["SEND id=r-0 reply=16 lobby 네, 잘 보여요"]);
    }
    if knows.verb("REDACT") {
        ok(daemon, "alice", &["REDACT plans 1", "REDACT lobby 3"]);
        ok(daemon, "bob/phone", &["REDACT 단톡방 50"]);
    }
    if knows.verb("SEEK") {
        ok(daemon, "carol", &["SEEK lobby 1"]);
    }
}

/// What may be asked: who, and what. None of it changes anything: the message is there.
const QUESTIONS: [(&str, &str); 19] = [
    (AUDITOR, "ROOMS"),
    (AUDITOR, "FETCH lobby after=0"),
    (AUDITOR, "FETCH 단톡방 after=0"),
    (AUDITOR, "FETCH quiet after=0"),
    (AUDITOR, "FETCH late after=0"),
    (AUDITOR, "FETCH plans after=0"),
    (AUDITOR, "WHO lobby"),
    (AUDITOR, "WHO 단톡방"),
    (AUDITOR, "WHO late"),
    (AUDITOR, "JOIN lobby"),
    ("alice", "JOIN lobby"),
    ("bob/phone", "JOIN lobby"),
    ("bob/phone", "JOIN 단톡방"),
    ("carol", "JOIN lobby"),
    ("carol", "FETCH 단톡방"),
    ("bob/phone", "SEND id=m-1 lobby morning! yes, three o'clock, if the tests are green"),
    ("alice", "ACCESS plans"),
    ("alice", "RETAIN plans"),
    ("alice", "GROUPS lobby"),
];

/// What there is in a line that every version tells, in whatever form.
fn essence(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let from = |at: usize| words.get(at..).unwrap_or_default().join(" ");
    match words[0] {
        // Without what is unread; and, since there are private rooms, which it is.
        "ROOM" => {
            let topic = if ["open", "private"].contains(words.get(6).unwrap_or(&"")) { 7 } else { 6 };
            format!("ROOM {} {} {} {}", words[1], words[2], words[3], from(topic)).trim_end().to_owned()
        }
        // Who is connected is of the moment; the cursor is asked for by JOIN.
        "MEMBER" => {
            let is_new = words.len() > 6 && (words[5] == "-" || words[5].ends_with('Z'));
            format!("MEMBER {} {} {}", words[1], words[2], from(if is_new { 6 } else { 4 }))
        }
        // What was taken may be taken again after a restart.
        "GROUP" => {
            let open: u64 = words[4].parse::<u64>().unwrap() + words[5].parse::<u64>().unwrap();
            format!("GROUP {} {} {} {open} {}", words[1], words[2], words[3], words[6])
        }
        // How long is also the daemon's, and how much may be counted in another way.
        "OK" if words.get(1).is_some_and(|word| word.starts_with("retention=")) => words[2].to_owned(),
        // Rooms' numbers were not told of once.
        "OK" => crate::common::without_numbers(line, line),
        "ERR" => words[..2].join(" "),
        _ => line.to_owned(),
    }
}

/// A question, and below it the essence of the answer.
fn asked(daemon: &Daemon, client: &str, question: &str) -> String {
    let mut answer: Vec<String> = daemon.lines(client).ask(question).iter().map(|line| essence(line)).collect();
    if question == "ROOMS" {
        // Their order was another, once.
        answer.sort();
    }
    let lines: String = answer.iter().map(|line| format!("    {line}\n")).collect();
    format!("{client}: {question}\n{lines}")
}

/// Everything that may be asked, with its answers.
pub fn answers(daemon: &Daemon) -> String {
    let knows = Knows::of(daemon);
    let can_be = |question: &str| {
        let is_private = question.contains(" plans");
        knows.verb(question.split(' ').next().unwrap()) && (!is_private || knows.verb("INVITE"))
    };
    let questions = QUESTIONS.iter().filter(|(_, question)| can_be(question));
    questions.map(|(client, question)| asked(daemon, client, question)).collect()
}

/// The same for what was asked then.
pub fn answers_to(daemon: &Daemon, document: &str) -> String {
    let questions = document.lines().filter(|line| !line.starts_with(' '));
    questions
        .map(|line| line.split_once(": ").unwrap())
        .map(|(client, question)| asked(daemon, client, question))
        .collect()
}
