//! The file system that SQLite calls: the system's own, with a [`Disk`] in between. Real syncs are left out, because no machine loses
//! its power here.

use crate::disk::{Disk, Kind, Operation};
use rusqlite::ffi;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};
use std::{mem, ptr, slice};

/// An open file: SQLite's own head, ours, and behind it the system's file.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    ours: *mut Ours,
}

/// What is known of an open file on a [`Disk`].
struct Ours {
    disk: Arc<Disk>,
    name: String,
    /// The system's file system syncs the directory with the first sync of this file, because it made it.
    syncs_directory: bool,
}

/// The two file systems. SQLite keeps the addresses, and never frees them.
struct Systems {
    real: *mut ffi::sqlite3_vfs,
}

// SAFETY: the system's file system is used by every thread of SQLite, and nothing here changes it.
unsafe impl Send for Systems {}
// SAFETY: as above.
unsafe impl Sync for Systems {}

static SYSTEMS: OnceLock<Systems> = OnceLock::new();

/// Makes this file system the one that every connection of the process uses.
pub(crate) fn install() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: asked for by no name, SQLite gives its default file system, which lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        // SAFETY: it is a valid structure; the copy keeps its functions, which need nothing of the original but `pAppData`.
        let mut ours = unsafe { ptr::read(real) };
        ours.zName = c"cupola-disk".as_ptr();
        ours.szOsFile += c_int::try_from(mem::size_of::<File>()).unwrap();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        assert!(SYSTEMS.set(Systems { real }).is_ok(), "it is installed twice");
        // SAFETY: the structure is never freed.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
        assert_eq!(code, ffi::SQLITE_OK, "the file system is not accepted");
    });
}

fn real() -> *mut ffi::sqlite3_vfs {
    SYSTEMS.get().expect("the file system is installed").real
}

/// The system's file behind ours.
fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    file.cast::<File>().wrapping_add(1).cast()
}

/// Calls a method of the system's file.
macro_rules! pass {
    ($file:ident . $method:ident ($($argument:expr),*)) => {{
        let inner = inner($file);
        // SAFETY: SQLite calls this on a file that `open` made, so the system's file behind it is open and has all methods.
        unsafe { (*(*inner).pMethods).$method.expect("a method of the system's file")(inner $(, $argument)*) }
    }};
}

/// What is ours of an open file.
fn ours<'file>(file: *mut ffi::sqlite3_file) -> Option<&'file mut Ours> {
    // SAFETY: `open` has written the pointer, and SQLite uses a file from one thread at a time until it closes it.
    unsafe { (*file.cast::<File>()).ours.as_mut() }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    given: *mut c_int,
) -> c_int {
    let outer = file.cast::<File>();
    // SAFETY: SQLite gives memory of the size that was asked for.
    unsafe {
        (*outer).base.pMethods = ptr::null();
        (*outer).ours = ptr::null_mut();
        (*inner(file)).pMethods = ptr::null();
    }
    // SAFETY: a name is a text that ends with a zero byte, or null.
    let path = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    let on_disk = path.and_then(|path| Some((Disk::of(Path::new(&path))?, file_name(&path))));
    let mut is_new = false;
    if let Some((disk, name)) = &on_disk {
        // The store makes an empty file before SQLite opens it.
        is_new = !disk.has(name) && flags & ffi::SQLITE_OPEN_CREATE != 0;
        if is_new && let Some(kind) = disk.fails(false) {
            return if kind == Kind::Device { ffi::SQLITE_CANTOPEN } else { ffi::SQLITE_FULL };
        }
    }
    // SAFETY: the arguments are SQLite's own, and `inner` is memory of the size the system's file needs.
    let code = unsafe { (*real()).xOpen.expect("a method of the system")(real(), name, inner(file), flags, given) };
    // SAFETY: as above.
    if unsafe { (*inner(file)).pMethods.is_null() } {
        return code;
    }
    if let Some((disk, name)) = on_disk {
        if is_new {
            disk.note(Operation::Create(name.clone()));
        }
        disk.opened();
        let syncs_directory = is_new && flags & ffi::SQLITE_OPEN_MAIN_DB == 0;
        // SAFETY: as above; `close` takes the box back.
        unsafe { (*outer).ours = Box::into_raw(Box::new(Ours { disk, name, syncs_directory })) };
    }
    // SAFETY: as above.
    unsafe { (*outer).base.pMethods = &raw const METHODS };
    code
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, syncs: c_int) -> c_int {
    // SAFETY: a name is a text that ends with a zero byte.
    let path = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let disk = Disk::of(Path::new(&path));
    if disk.as_ref().is_some_and(|disk| disk.fails(false).is_some()) {
        return ffi::SQLITE_IOERR_DELETE;
    }
    // SAFETY: the arguments are SQLite's own.
    let code = unsafe { (*real()).xDelete.expect("a method of the system")(real(), name, 0) };
    if let Some(disk) = disk.filter(|_| code == ffi::SQLITE_OK) {
        disk.note(Operation::Delete(file_name(&path)));
        if syncs != 0 {
            disk.note(Operation::SyncDirectory);
        }
    }
    code
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let code = pass!(file.xClose());
    let outer = file.cast::<File>();
    // SAFETY: `open` made the box, and nothing uses the file after it was closed.
    unsafe {
        if !(*outer).ours.is_null() {
            Box::from_raw(mem::replace(&mut (*outer).ours, ptr::null_mut())).disk.closed();
        }
    }
    code
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, length: c_int, offset: i64) -> c_int {
    pass!(file.xRead(into, length, offset))
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, length: c_int, offset: i64) -> c_int {
    let Some(ours) = ours(file) else { return pass!(file.xWrite(from, length, offset)) };
    let failure = ours.disk.fails(false);
    let written = match failure {
        None => length,
        Some(Kind::Short) => length / 2,
        Some(Kind::Device) => return ffi::SQLITE_IOERR_WRITE,
        Some(Kind::Full | Kind::Sync) => return ffi::SQLITE_FULL,
    };
    // SAFETY: SQLite gives this many bytes.
    let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), usize::try_from(written).unwrap_or(0)) };
    let place = u64::try_from(offset).unwrap_or(0);
    ours.disk.note(Operation::Write(ours.name.clone(), place, bytes.to_vec()));
    let code = pass!(file.xWrite(from, written, offset));
    if failure.is_some() { ffi::SQLITE_FULL } else { code }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    if let Some(ours) = ours(file) {
        if ours.disk.fails(false).is_some() {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        ours.disk.note(Operation::Truncate(ours.name.clone(), u64::try_from(length).unwrap_or(0)));
    }
    pass!(file.xTruncate(length))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let Some(ours) = ours(file) else { return ffi::SQLITE_OK };
    if ours.disk.fails(true).is_some() {
        ours.disk.note(Operation::SyncFailed(ours.name.clone()));
        return ffi::SQLITE_IOERR_FSYNC;
    }
    ours.disk.note(Operation::Sync(ours.name.clone()));
    if mem::take(&mut ours.syncs_directory) {
        ours.disk.note(Operation::SyncDirectory);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, into: *mut i64) -> c_int {
    pass!(file.xFileSize(into))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass!(file.xLock(level))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass!(file.xUnlock(level))
}

unsafe extern "C" fn is_reserved(file: *mut ffi::sqlite3_file, into: *mut c_int) -> c_int {
    pass!(file.xCheckReservedLock(into))
}

unsafe extern "C" fn control(file: *mut ffi::sqlite3_file, what: c_int, with: *mut c_void) -> c_int {
    pass!(file.xFileControl(what, with))
}

unsafe extern "C" fn sector(file: *mut ffi::sqlite3_file) -> c_int {
    pass!(file.xSectorSize())
}

unsafe extern "C" fn characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    pass!(file.xDeviceCharacteristics())
}

unsafe extern "C" fn map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extends: c_int,
    into: *mut *mut c_void,
) -> c_int {
    pass!(file.xShmMap(region, size, extends, into))
}

unsafe extern "C" fn lock_map(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    pass!(file.xShmLock(offset, count, flags))
}

unsafe extern "C" fn barrier(file: *mut ffi::sqlite3_file) {
    pass!(file.xShmBarrier());
}

unsafe extern "C" fn unmap(file: *mut ffi::sqlite3_file, deletes: c_int) -> c_int {
    pass!(file.xShmUnmap(deletes))
}

/// Version 2: the index of the write-ahead log is shared memory of the system's; no file is mapped.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map),
    xShmLock: Some(lock_map),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap),
    xFetch: None,
    xUnfetch: None,
};
