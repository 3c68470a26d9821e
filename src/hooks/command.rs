//! `dantok hook`: manages which programs may write into which room.

use std::path::Path;

use super::file::{Hook, Key, NAME, client};
use super::ledger::Ledger;
use super::read;
use crate::error::Error;
use dantok_protocol::Refusal;
use dantok_protocol::name::{check_client, check_new, check_room, composed};
use dantok_protocol::units;
use dantok_store::disk::expect_data_dir;

/// The longest secret that GitHub takes is not documented; nobody's is longer than this.
const KEY_MAX_BYTES: u64 = 4096;

/// A hook to add.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of its room.
    pub room: &'a str,
    /// The number of its room, if there is one of this name.
    pub number: Option<u64>,
    /// The file with the secret that GitHub signs with.
    pub github_secret: Option<&'a Path>,
}

/// Adds a hook and prints the path of its URL on standard output, alone, below `prefix`. Explanations go to stderr.
///
/// # Errors
/// The name is not one, or is taken; the room's name is not one; the system reports an error.
pub fn add(data_dir: &Path, prefix: &str, new: &New<'_>) -> Result<(), Error> {
    let refused = |refusal: Refusal| Error::Command(refusal.text);
    let (name, room) = (composed(new.name), composed(new.room));
    check_client(&client(&name)).and_then(|()| check_new(&name)).map_err(refused)?;
    // A room that exists may have a name from before the rules for new ones.
    let room = if new.number.is_some() { new.room } else { &room };
    check_room(room).map_err(refused)?;
    if new.number.is_none() {
        check_new(room).map_err(refused)?;
    }
    expect_data_dir(data_dir)?;
    let key = new.github_secret.map(read_key).transpose()?;
    let is_signed = key.is_some();
    let mut ledger = Ledger::open(&data_dir.join(NAME))?;
    if let Some(other) = ledger.hooks().iter().find(|hook| hook.name == name) {
        return Err(Error::Command(format!(
            "there is a hook {name} already, for the room {}; choose another name, or remove it first with `dantok hook remove {name}`",
            other.room
        )));
    }
    let secret = ledger.add(&name, room, new.number, key)?;
    println!("{prefix}/hook/{secret}");
    eprintln!(
        "POST messages for {room} to that path of the address that --web serves. Whoever knows the path can do so."
    );
    eprintln!("It is not shown again; {} has its hash.", data_dir.join(NAME).display());
    if is_signed {
        eprintln!("Only requests that GitHub has signed are taken.");
    }
    if new.number.is_none() {
        eprintln!("There is no room {room} yet. The hook is for the first one of this name.");
    }
    Ok(())
}

/// Reads a secret, without the line end that editors add.
fn read_key(path: &Path) -> Result<Key, Error> {
    let read = || {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(KEY_MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(Error::io("read the secret", path))?;
    let key = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    if key.is_empty() || text.len() as u64 > KEY_MAX_BYTES {
        let path = path.display();
        return Err(Error::Command(format!("{path}: a secret has 1 to {KEY_MAX_BYTES} bytes")));
    }
    Ok(Key(key.to_owned()))
}

/// Removes a hook, and prints which.
///
/// # Errors
/// There is no such hook; the system reports an error.
pub fn remove(data_dir: &Path, name: &str) -> Result<(), Error> {
    expect_data_dir(data_dir)?;
    let path = data_dir.join(NAME);
    let none = || Error::Command(format!("{}: there is no hook {name}", path.display()));
    // Nothing is created if there is no file.
    read(&path)?.ok_or_else(none)?;
    let mut ledger = Ledger::open(&path)?;
    let removed = match ledger.remove(name)? {
        Some(removed) => Some(removed),
        None => ledger.remove(&composed(name))?,
    };
    let Hook { name, room, .. } = removed.ok_or_else(none)?;
    println!("{name} for {room} is removed");
    Ok(())
}

/// Prints all hooks. Creates nothing.
///
/// # Errors
/// There is no store; the system reports an error.
pub fn list(data_dir: &Path) -> Result<(), Error> {
    expect_data_dir(data_dir)?;
    let path = data_dir.join(NAME);
    let found = read(&path)?;
    if found.is_none() {
        eprintln!("{}: there is no such file, so there are no hooks", path.display());
    }
    for hook in found.map(|(_, hooks)| hooks).unwrap_or_default() {
        let number = hook.number.map_or("none".to_owned(), |number| number.to_string());
        let signed = if hook.github_secret.is_some() { "  signed by GitHub" } else { "" };
        println!("{}  {}  number {number}  added {}{signed}", hook.name, hook.room, units::time(hook.added));
    }
    Ok(())
}

/// The file of hooks for a backup; none if there is none.
///
/// # Errors
/// I/O errors.
pub(crate) fn to_back_up(data_dir: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = data_dir.join(NAME);
    match std::fs::read(&path) {
        Ok(hooks) => Ok(Some(hooks)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(crate::error::READ_HOOKS, &path)(error)),
    }
}
