//! A terminal as a program sees it, and the person who sits at it.

use super::PATIENCE;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

/// The person's end.
pub(crate) struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// All that has been shown.
    pub(crate) seen: String,
    /// How far it has been looked at.
    looked: usize,
}

impl Terminal {
    /// A terminal, and the end that a program gets.
    pub(crate) fn new() -> (Self, File) {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let program = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let keyboard = File::from(person);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, receiver) = channel();
        // A terminal cannot be read with a time limit. It ends when the last program has let go of it.
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        (Self { keyboard, screen: receiver, seen: String::new(), looked: 0 }, program)
    }

    /// Gives it a size, which it has none of at first.
    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Looks until this is shown, and gives what stands before it, from where the last look ended.
    pub(crate) fn look_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let news = &self.seen[self.looked..];
            if let Some(at) = news.find(text) {
                let before = news[..at].to_owned();
                self.looked += at + text.len();
                return before;
            }
            let shown = self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(shown) = shown else { panic!("{text:?} was not shown: {news:?}") };
            self.seen.push_str(&String::from_utf8_lossy(&shown));
        }
    }

    /// Every byte that was shown, once all programs have let go of the terminal.
    pub(crate) fn all(self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = Vec::new();
        loop {
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(shown) => bytes.extend(shown),
                Err(RecvTimeoutError::Disconnected) => return bytes,
                Err(RecvTimeoutError::Timeout) => panic!("a program holds on to the terminal"),
            }
        }
    }
}
