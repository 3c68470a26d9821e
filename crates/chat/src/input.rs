//! The input line: editing by grapheme, and its history.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use crate::text::{shown, width};

/// Lines kept in the history.
const HISTORY_MAX: usize = 200;

/// The line being edited.
#[derive(Debug, Default)]
pub struct Input {
    text: String,
    /// A byte offset, between two graphemes.
    at: usize,
    history: Vec<String>,
    /// Which line of the history is shown; `None`: the new line.
    recalled: Option<usize>,
    /// The new line, while a line of the history is shown.
    draft: String,
}

impl Input {
    /// The text of the line.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn before(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn set(&mut self, text: String) {
        self.at = text.len();
        self.text = text;
    }

    /// Inserts text at the cursor.
    pub fn insert(&mut self, text: &str) {
        self.text.insert_str(self.at, text);
        self.at += text.len();
        // The inserted text may have merged into one grapheme with what follows it.
        let mut cursor = GraphemeCursor::new(self.at, self.text.len(), true);
        if cursor.is_boundary(&self.text, 0) == Ok(false)
            && let Ok(Some(next)) = cursor.next_boundary(&self.text, 0)
        {
            self.at = next;
        }
    }

    fn back(&self) -> usize {
        self.at - self.before().graphemes(true).next_back().map_or(0, str::len)
    }

    fn forth(&self) -> usize {
        self.at + self.after().graphemes(true).next().map_or(0, str::len)
    }

    fn word_back(&self) -> usize {
        let words = self.before().trim_end();
        words.rfind(char::is_whitespace).map_or(0, |space| {
            space + words.get(space..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        })
    }

    fn word_forth(&self) -> usize {
        let after = self.after();
        let word = after.trim_start();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        self.at + (after.len() - word.len()) + end
    }

    fn remove(&mut self, from: usize, to: usize) {
        if from < to && self.text.is_char_boundary(from) && self.text.is_char_boundary(to) {
            self.text.replace_range(from..to, "");
            self.at = from;
        }
    }

    /// Moves one grapheme to the left.
    pub fn left(&mut self) {
        self.at = self.back();
    }

    /// Moves one grapheme to the right.
    pub fn right(&mut self) {
        self.at = self.forth();
    }

    /// Moves to the beginning of the word.
    pub fn word_left(&mut self) {
        self.at = self.word_back();
    }

    /// Moves to the end of the word.
    pub fn word_right(&mut self) {
        self.at = self.word_forth();
    }

    /// Moves to the beginning of the line.
    pub fn home(&mut self) {
        self.at = 0;
    }

    /// Moves to the end of the line.
    pub fn end(&mut self) {
        self.at = self.text.len();
    }

    /// Deletes the grapheme to the left.
    pub fn backspace(&mut self) {
        self.remove(self.back(), self.at);
    }

    /// Deletes the grapheme to the right.
    pub fn delete(&mut self) {
        self.remove(self.at, self.forth());
    }

    /// Deletes the word to the left.
    pub fn delete_word(&mut self) {
        self.remove(self.word_back(), self.at);
    }

    /// Deletes everything to the left.
    pub fn kill_before(&mut self) {
        self.remove(0, self.at);
    }

    /// Deletes everything to the right.
    pub fn kill_after(&mut self) {
        self.remove(self.at, self.text.len());
    }

    /// Empties the line.
    pub fn clear(&mut self) {
        self.set(String::new());
        self.recalled = None;
    }

    /// Empties the line and adds it to the history.
    pub fn done(&mut self) {
        let line = std::mem::take(&mut self.text);
        self.clear();
        if self.history.last() != Some(&line) {
            self.history.push(line);
        }
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
    }

    /// Shows the previous line of the history.
    pub fn older(&mut self) {
        let at = self.recalled.unwrap_or(self.history.len());
        let Some(line) = at.checked_sub(1).and_then(|at| self.history.get(at)).cloned() else { return };
        if self.recalled.is_none() {
            self.draft = std::mem::take(&mut self.text);
        }
        self.recalled = Some(at - 1);
        self.set(line);
    }

    /// Shows the next line of the history.
    pub fn newer(&mut self) {
        let Some(at) = self.recalled else { return };
        match self.history.get(at + 1).cloned() {
            Some(line) => {
                self.recalled = Some(at + 1);
                self.set(line);
            }
            None => {
                self.recalled = None;
                let draft = std::mem::take(&mut self.draft);
                self.set(draft);
            }
        }
    }

    /// The part of the line around the cursor that fits into this many cells, and the cursor's cell in it.
    pub fn view(&self, cells: usize) -> (String, usize) {
        let show = |grapheme: &str| if grapheme == "\n" { "↵".to_owned() } else { shown(grapheme.as_bytes()) };
        // The cursor needs a cell of its own. Measure from the cursor to the left, so that no key walks through a long line.
        let mut room = cells.saturating_sub(1);
        let fits = |grapheme: &String| {
            let left = room.checked_sub(width(grapheme));
            room = left.unwrap_or(0);
            left.is_some()
        };
        let mut before: Vec<String> = self.before().graphemes(true).rev().map(show).take_while(fits).collect();
        before.reverse();
        let mut view: String = before.concat();
        let cursor = width(&view);
        let mut used = cursor;
        for grapheme in self.after().graphemes(true).map(show) {
            used += width(&grapheme);
            if used > cells {
                break;
            }
            view.push_str(&grapheme);
        }
        (view, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn a_character_is_a_grapheme() {
        let mut line = input("가👩‍💻é한");
        line.backspace();
        assert_eq!(line.text(), "가👩‍💻é");
        line.left();
        line.backspace();
        assert_eq!(line.text(), "가é");
        line.home();
        line.delete();
        line.right();
        line.insert("👍🏽");
        assert_eq!(line.text(), "é👍🏽");
        line.left();
        line.left();
        line.left();
        line.insert("단");
        assert_eq!(line.text(), "단é👍🏽");
    }

    #[test]
    fn words_are_skipped_and_deleted() {
        let mut line = input("오늘 점심 뭐 먹어요?");
        line.word_left();
        line.delete_word();
        assert_eq!(line.text(), "오늘 점심 먹어요?");
        line.word_left();
        line.word_left();
        line.word_right();
        line.kill_after();
        assert_eq!(line.text(), "오늘");
        line.left();
        line.kill_before();
        assert_eq!(line.text(), "늘");
    }

    #[test]
    fn the_history_gives_back_an_unfinished_line() {
        let mut line = input("하나");
        line.done();
        line.insert("two");
        line.done();
        line.insert("begun");
        line.newer();
        line.older();
        line.older();
        line.older();
        assert_eq!(line.text(), "하나");
        line.newer();
        assert_eq!(line.text(), "two");
        line.newer();
        assert_eq!(line.text(), "begun");
    }

    #[test]
    fn the_view_follows_the_cursor() {
        let mut line = input("안녕하세요");
        assert_eq!(line.view(20), ("안녕하세요".into(), 10));
        assert_eq!(line.view(6), ("세요".into(), 4));
        line.home();
        assert_eq!(line.view(6), ("안녕하".into(), 0));
        assert_eq!(input("a\u{1b}b\nc").view(20), (r"a\x1bb↵c".into(), 8));
    }
}
