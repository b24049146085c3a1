//! Who this process runs as on Windows, and whose a pipe is: by security identifier (SID), which unlike a name is given
//! once and to one user only.

use std::io;
use std::os::windows::io::AsRawHandle;
use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::utilities::current_process_sid;
use windows_permissions::wrappers::GetSecurityInfo;

/// This user's SID as text, `S-1-5-21-…`.
pub fn id() -> io::Result<String> {
    Ok(current_process_sid()?.to_string())
}

/// Does the object behind this handle belong to this user?
pub(crate) fn owns(handle: &impl AsRawHandle) -> io::Result<bool> {
    let found = GetSecurityInfo(handle, SeObjectType::SE_KERNEL_OBJECT, SecurityInformation::Owner)?;
    let me = current_process_sid()?;
    Ok(found.owner().is_some_and(|owner| *owner == *me))
}
