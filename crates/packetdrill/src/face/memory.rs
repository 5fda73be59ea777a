//! The caller's memory: copied in and copied out, so that no reference of ours ever lies on it.
//!
//! All functions here refuse NULL where something is to be read or written. What else a pointer must be, its caller
//! promises, as to any function of C: valid for as many octets as it says.

use std::io;
use std::mem::size_of;
use std::ptr;

use libc::{c_void, iovec, socklen_t};

/// The most that a call moves at once, octets. (Linux's own bound is 2 GiB.)
pub(super) const MOST: usize = 64 << 20;
/// The most buffers of one call (IOV_MAX).
const BUFFERS: usize = 1024;
/// The longest `sockaddr` (`struct sockaddr_storage`).
const NAME: usize = 128;

pub(super) fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Room for what is to be received: at most [`MOST`] octets of it.
pub(super) fn room(len: usize) -> io::Result<Vec<u8>> {
    if isize::try_from(len).is_err() {
        return Err(error(libc::EINVAL));
    }
    Ok(vec![0; len.min(MOST)])
}

/// Copies octets in, at most [`MOST`].
///
/// # Safety
/// `from` is NULL, or valid for reading `len` octets.
pub(super) unsafe fn octets(from: *const c_void, len: usize) -> io::Result<Vec<u8>> {
    if isize::try_from(len).is_err() {
        return Err(error(libc::EINVAL));
    }
    let len = len.min(MOST);
    if len == 0 {
        return Ok(Vec::new());
    }
    if from.is_null() {
        return Err(error(libc::EFAULT));
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(len).map_err(|_| error(libc::ENOMEM))?;
    // SAFETY: `from` is valid for `len` octets, says the caller; the vector has room for as many, which are then
    // initialised; the two do not overlap, since the vector is new.
    unsafe {
        ptr::copy_nonoverlapping(from.cast::<u8>(), copy.as_mut_ptr(), len);
        copy.set_len(len);
    }
    Ok(copy)
}

/// Copies octets out.
///
/// # Safety
/// `to` is NULL, or valid for writing as many octets.
pub(super) unsafe fn put_octets(to: *mut c_void, data: &[u8]) -> io::Result<()> {
    if data.is_empty() {
        return Ok(());
    }
    if to.is_null() {
        return Err(error(libc::EFAULT));
    }
    // SAFETY: `to` is valid for so many octets, says the caller; the data is ours, so the two do not overlap.
    unsafe { ptr::copy_nonoverlapping(data.as_ptr(), to.cast(), data.len()) };
    Ok(())
}

/// Reads one value.
///
/// # Safety
/// `from` is NULL, or valid for reading a `T`; each pattern of bits there is one.
pub(super) unsafe fn get<T: Copy>(from: *const T) -> io::Result<T> {
    if from.is_null() {
        return Err(error(libc::EFAULT));
    }
    // SAFETY: `from` is valid for a `T`, says the caller; it need not be aligned.
    Ok(unsafe { from.read_unaligned() })
}

/// Writes one value.
///
/// # Safety
/// `to` is NULL, or valid for writing a `T`.
pub(super) unsafe fn put<T: Copy>(to: *mut T, value: T) -> io::Result<()> {
    if to.is_null() {
        return Err(error(libc::EFAULT));
    }
    // SAFETY: `to` is valid for a `T`, says the caller; it need not be aligned.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// Reads `count` values that stand one after the other.
///
/// # Safety
/// `from` is NULL, or valid for reading so many.
pub(super) unsafe fn get_all<T: Copy>(from: *const T, count: usize) -> io::Result<Vec<T>> {
    // SAFETY: each place lies within what the caller says is valid. With NULL the first `get` refuses.
    (0..count)
        .map(|n| unsafe { get(if from.is_null() { from } else { from.add(n) }) })
        .collect()
}

/// Writes values one after the other.
///
/// # Safety
/// `to` is NULL, or valid for writing so many.
pub(super) unsafe fn put_all<T: Copy>(to: *mut T, values: &[T]) -> io::Result<()> {
    for (n, value) in values.iter().enumerate() {
        // SAFETY: each place lies within what the caller says is valid. With NULL the first `put` refuses.
        unsafe { put(if to.is_null() { to } else { to.add(n) }, *value)? };
    }
    Ok(())
}

/// Buffers of a call that reads or writes several.
pub(super) struct Buffers(Vec<iovec>);

impl Buffers {
    /// # Errors
    /// EINVAL for more than there may be, or more octets than can be counted.
    ///
    /// # Safety
    /// `from` is NULL, or valid for reading `count` of them; each of them is NULL, empty, or valid for its length for as
    /// long as this value lives.
    pub(super) unsafe fn new(from: *const iovec, count: usize) -> io::Result<Buffers> {
        if count > BUFFERS {
            return Err(error(libc::EINVAL));
        }
        // SAFETY: as the caller says.
        let all = unsafe { get_all(from, count)? };
        let whole = all
            .iter()
            .try_fold(0usize, |sum, one| sum.checked_add(one.iov_len));
        match whole {
            Some(whole) if isize::try_from(whole).is_ok() => Ok(Buffers(all)),
            _ => Err(error(libc::EINVAL)),
        }
    }
    /// Their length together.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|one| one.iov_len).sum()
    }
    /// Their content, joined; at most [`MOST`] octets.
    pub(super) fn gather(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        for one in &self.0 {
            let len = one.iov_len.min(MOST - all.len());
            // SAFETY: valid for `iov_len` octets, as was said when this was made.
            all.append(&mut unsafe { octets(one.iov_base, len)? });
        }
        Ok(all)
    }
    /// Fills them in their order.
    pub(super) fn scatter(&self, mut data: &[u8]) -> io::Result<()> {
        for one in &self.0 {
            let (part, rest) = data.split_at(one.iov_len.min(data.len()));
            // SAFETY: valid for `iov_len` octets, as was said when this was made; the part is no longer.
            unsafe { put_octets(one.iov_base, part)? };
            data = rest;
        }
        Ok(())
    }
}

/// A `sockaddr` that is given.
///
/// # Safety
/// `from` is NULL, or valid for reading `len` octets.
pub(super) unsafe fn name(from: *const libc::sockaddr, len: socklen_t) -> io::Result<Vec<u8>> {
    let len = len as usize;
    if len > NAME {
        return Err(error(libc::EINVAL));
    }
    if from.is_null() {
        return Err(error(libc::EFAULT));
    }
    // SAFETY: as the caller says.
    unsafe { octets(from.cast(), len) }
}

/// A `sockaddr` that is told: as much as there is room for, and its whole length.
///
/// # Safety
/// `to` is NULL, or valid for writing as many octets as `len` says; `len` is NULL, or valid for reading and writing.
pub(super) unsafe fn put_name(to: *mut libc::sockaddr, len: *mut socklen_t, name: &[u8]) -> io::Result<()> {
    if to.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says; no more than `len` octets are written.
    unsafe {
        let room = get(len)?;
        if i32::try_from(room).is_err() {
            return Err(error(libc::EINVAL));
        }
        put_octets(to.cast(), &name[..name.len().min(room as usize)])?;
        put(len, name.len() as socklen_t)
    }
}

/// Ancillary data in the form of `struct cmsghdr`, one behind the other, cut to `room` octets; and whether it was cut.
pub(super) fn control(items: &[(i32, i32, Vec<u8>)], room: usize) -> (Vec<u8>, bool) {
    let align = size_of::<usize>();
    let mut all = Vec::new();
    for (level, kind, content) in items {
        let len = size_of::<usize>() + 8 + content.len();
        all.extend(len.to_ne_bytes());
        all.extend(level.to_ne_bytes());
        all.extend(kind.to_ne_bytes());
        all.extend(content);
        all.resize(all.len().next_multiple_of(align), 0);
    }
    let cut = all.len() > room;
    all.truncate(room);
    (all, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn octets_are_copied_both_ways() {
        let from = *b"python";
        // SAFETY: the array is as long as it says.
        let copy = unsafe { octets(from.as_ptr().cast(), from.len()) }.unwrap();
        assert_eq!(copy, from);
        let mut to = [0u8; 8];
        // SAFETY: the array is longer than what is written.
        unsafe { put_octets(to.as_mut_ptr().cast(), &copy) }.unwrap();
        assert_eq!(&to, b"python\0\0");
    }

    #[test]
    fn null_is_refused_where_something_is_wanted() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(number(octets(ptr::null(), 1)), Some(libc::EFAULT));
            assert!(octets(ptr::null(), 0).unwrap().is_empty());
            assert_eq!(number(octets(ptr::null(), usize::MAX)), Some(libc::EINVAL));
            assert_eq!(number(put_octets(ptr::null_mut(), b"x")), Some(libc::EFAULT));
            put_octets(ptr::null_mut(), b"").unwrap();
            assert_eq!(number(get::<i32>(ptr::null())), Some(libc::EFAULT));
            assert_eq!(number(put(ptr::null_mut(), 1)), Some(libc::EFAULT));
            assert_eq!(number(get_all::<i32>(ptr::null(), 2)), Some(libc::EFAULT));
            assert!(get_all::<i32>(ptr::null(), 0).unwrap().is_empty());
            assert_eq!(number(put_all(ptr::null_mut(), &[1, 2])), Some(libc::EFAULT));
            assert_eq!(number(name(ptr::null(), 16)), Some(libc::EFAULT));
            put_name(ptr::null_mut(), ptr::null_mut(), b"name").unwrap();
            assert_eq!(
                number(Buffers::new(ptr::null(), 1).map(|_| ())),
                Some(libc::EFAULT)
            );
            assert_eq!(
                number(Buffers::new(ptr::null(), 1025).map(|_| ())),
                Some(libc::EINVAL)
            );
        }
        assert_eq!(number(room(usize::MAX)), Some(libc::EINVAL));
        assert_eq!(room(3).unwrap(), [0; 3]);
    }

    #[test]
    fn values_need_not_be_aligned() {
        let mut place = [0u8; 13];
        let odd = place.as_mut_ptr().wrapping_add(1);
        // SAFETY: three words stand within the array.
        unsafe {
            put_all(odd.cast::<i32>(), &[1, -2, 3]).unwrap();
            assert_eq!(get_all(odd.cast::<i32>().cast_const(), 3).unwrap(), [1, -2, 3]);
            assert_eq!(get(odd.cast::<i32>().cast_const()).unwrap(), 1);
        }
    }

    #[test]
    fn buffers_are_gathered_and_filled_in_their_order() {
        let (mut one, mut two) = (*b"ab", *b"cdef");
        let buffer = |of: &mut [u8]| iovec {
            iov_base: of.as_mut_ptr().cast(),
            iov_len: of.len(),
        };
        let none = iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let all = [buffer(&mut one), none, buffer(&mut two)];
        // SAFETY: they are as long as they say and live until the end.
        let buffers = unsafe { Buffers::new(all.as_ptr(), all.len()) }.unwrap();
        assert_eq!(
            (buffers.len(), buffers.gather().unwrap()),
            (6, b"abcdef".to_vec())
        );
        buffers.scatter(b"12345").unwrap();
        assert_eq!(buffers.gather().unwrap(), b"12345f");
        let wild = [iovec {
            iov_base: ptr::null_mut(),
            iov_len: usize::MAX,
        }; 2];
        // SAFETY: NULL is allowed.
        let refused = unsafe { Buffers::new(wild.as_ptr(), 2) };
        assert_eq!(number(refused.map(|_| ())), Some(libc::EINVAL));
    }

    #[test]
    fn names_are_cut_to_the_room_and_tell_their_length() {
        let mut to = [0u8; 4];
        let mut len: socklen_t = 4;
        // SAFETY: there is as much room as `len` says.
        unsafe { put_name(to.as_mut_ptr().cast(), &raw mut len, b"sockaddr") }.unwrap();
        assert_eq!((&to, len), (b"sock", 8));
        let mut negative: socklen_t = u32::MAX;
        // SAFETY: nothing is written with such a length.
        let refused = unsafe { put_name(to.as_mut_ptr().cast(), &raw mut negative, b"x") };
        assert_eq!(number(refused), Some(libc::EINVAL));
    }

    #[test]
    fn ancillary_data_is_cut_where_there_is_no_room() {
        let items = [(0, 2, vec![7]), (0, 1, vec![1, 2, 3, 4])];
        let (all, cut) = control(&items, 1000);
        assert_eq!((all.len(), cut), (48, false));
        assert_eq!(all[..8], 17usize.to_ne_bytes());
        assert_eq!(all[16], 7);
        let (some, cut) = control(&items, 30);
        assert_eq!((&some[..], cut), (&all[..30], true));
    }
}
