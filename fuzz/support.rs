//! What the fuzz targets share: inputs made by changing real ones, and inputs cut into pieces.
//!
//! Random bytes alone rarely get past the first check of a parser. So an input begins as a part of a captured exchange, and
//! is changed a little: lines are dropped, repeated and mixed with those of other exchanges, text in quotes is replaced,
//! bytes are overwritten. One input in sixteen is still random bytes.

use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, produce};
use std::fmt;
use std::ops::Deref;
use std::path::Path;

/// Most lines an input begins with: enough for a whole short stream, few enough for thousands of inputs a second.
const MAX_LINES: usize = 24;
/// Most changes to one input. Many small ones make nothing but noise.
const MAX_CHANGES: usize = 6;
/// Longest input of random bytes.
const MAX_RANDOM_BYTES: usize = 512;

/// Bytes that mean something to the formats read here.
const SPECIAL_BYTES: &[u8] = b"\n\r\0 \t:;,.=\"'\\{}[]#&*%/<>-+\xff\xef\xbb\xbf\xc3\xe2\xf0\x80";

/// An input, shown as text.
#[derive(Clone)]
pub(crate) struct Input(Vec<u8>);

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A generator of changed inputs.
pub(crate) struct Mutated {
    /// Each a list of lines, with their ends.
    seeds: Vec<Vec<Vec<u8>>>,
    words: Vec<Vec<u8>>,
}

/// Inputs made of these seeds, and of words that matter to what reads them.
pub(crate) fn mutated(seeds: impl IntoIterator<Item = Vec<u8>>, words: &[&str]) -> Mutated {
    let lines = |seed: Vec<u8>| seed.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let seeds: Vec<_> = seeds.into_iter().map(lines).collect();
    assert!(!seeds.is_empty(), "there are no seeds");
    Mutated { seeds, words: words.iter().map(|word| word.as_bytes().to_vec()).collect() }
}

impl ValueGenerator for Mutated {
    type Output = Input;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Input> {
        if below(driver, 16)? == 0 {
            return produce::<Vec<u8>>().with().len(0..=MAX_RANDOM_BYTES).generate(driver).map(Input);
        }
        let mut lines = self.lines(driver)?;
        for _ in 0..below(driver, MAX_CHANGES + 1)? {
            self.change_lines(driver, &mut lines)?;
        }
        let mut bytes = lines.concat();
        for _ in 0..below(driver, MAX_CHANGES + 1)? {
            self.change_bytes(driver, &mut bytes)?;
        }
        Some(Input(bytes))
    }
}

impl Mutated {
    /// A run of lines of one seed.
    fn lines<D: Driver>(&self, driver: &mut D) -> Option<Vec<Vec<u8>>> {
        let seed = &self.seeds[below(driver, self.seeds.len())?];
        let begin = if below(driver, 2)? == 0 { 0 } else { below(driver, seed.len().max(1))? };
        let count = below(driver, MAX_LINES)? + 1;
        Some(seed.iter().skip(begin).take(count).cloned().collect())
    }

    fn change_lines<D: Driver>(&self, driver: &mut D, lines: &mut Vec<Vec<u8>>) -> Option<()> {
        let at = below(driver, lines.len().max(1))?;
        match below(driver, 4)? {
            0 if !lines.is_empty() => drop(lines.remove(at)),
            1 if !lines.is_empty() => lines.insert(at, lines[at].clone()),
            2 if !lines.is_empty() => {
                let other = below(driver, lines.len())?;
                lines.swap(at, other);
            }
            _ => {
                let others = self.lines(driver)?;
                let at = at.min(lines.len());
                lines.splice(at..at, others.into_iter().take(4));
            }
        }
        Some(())
    }

    fn change_bytes<D: Driver>(&self, driver: &mut D, bytes: &mut Vec<u8>) -> Option<()> {
        let at = below(driver, bytes.len() + 1)?;
        let end = (at + below(driver, 16)?).min(bytes.len());
        match below(driver, 6)? {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            2 if at < bytes.len() => bytes[at] = special_byte(driver)?,
            3 if !self.words.is_empty() => {
                let word = self.word(driver)?;
                bytes.splice(at..at, word);
            }
            // What stands in quotes becomes something else, so that the whole is still well-formed.
            _ => {
                let quote =
                    |from: usize| bytes.iter().skip(from).position(|byte| *byte == b'"').map(|found| from + found);
                let Some(open) = quote(at) else { return Some(()) };
                let Some(close) = quote(open + 1) else { return Some(()) };
                let word = if self.words.is_empty() { vec![special_byte(driver)?] } else { self.word(driver)? };
                bytes.splice(open + 1..close, word);
            }
        }
        Some(())
    }

    fn word<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        Some(self.words[below(driver, self.words.len())?].clone())
    }
}

fn special_byte<D: Driver>(driver: &mut D) -> Option<u8> {
    Some(SPECIAL_BYTES[below(driver, SPECIAL_BYTES.len())?])
}

/// A number below `limit`.
pub(crate) fn below<D: Driver>(driver: &mut D, limit: usize) -> Option<usize> {
    (0..limit).generate(driver)
}

/// Text of these words, and now and then of any characters.
pub(crate) struct Words(pub(crate) &'static [&'static str]);

impl ValueGenerator for Words {
    type Output = String;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<String> {
        let mut text = String::new();
        for _ in 0..below(driver, 8)? {
            if below(driver, 8)? == 0 {
                text.push(produce::<char>().generate(driver)?);
            } else {
                text.push_str(self.0[below(driver, self.0.len())?]);
            }
        }
        Some(text)
    }
}

/// How an input is cut: the lengths of its pieces, repeated until the end.
pub(crate) struct Cuts;

/// Lengths of pieces, many of them short: what goes wrong does so between two bytes that belong together.
pub(crate) const fn cuts() -> Cuts {
    Cuts
}

impl ValueGenerator for Cuts {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut cuts = Vec::new();
        for _ in 0..=below(driver, 8)? {
            let limit = if below(driver, 2)? == 0 { 4 } else { 256 };
            cuts.push(u8::try_from(below(driver, limit)?).unwrap_or(u8::MAX));
        }
        Some(cuts)
    }
}

/// The input in non-empty pieces of those lengths.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = cuts.iter().cycle();
    while !bytes.is_empty() {
        let length = usize::from(*lengths.next().unwrap_or(&u8::MAX)).max(1);
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The contents of all files of one directory of the repository.
pub(crate) fn files(directory: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect()
}
