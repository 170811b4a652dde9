//! Memory at which the headers of messages point for longer than a call takes.
//!
//! A pointer into a box or a vector is good until the owner is moved, or lends out what is in it as `&mut`: from then on the
//! compiler may rely on nobody else having one. So what is pointed at is owned by way of the one pointer with which all
//! others begin. It may be moved, because that moves no memory; and it is lent out in parts, from that pointer, which ends
//! none of those that were taken before.

use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::slice;

/// A fixed number of values, in memory that stays where it is.
pub(crate) struct Fixed<T> {
    first: NonNull<T>,
    length: usize,
}

impl<T: Copy> Fixed<T> {
    /// So many of a value. Of zeros, those that nobody has touched cost no memory.
    pub(crate) fn new(value: T, length: usize) -> Self {
        let first = Box::into_raw(vec![value; length].into_boxed_slice()).cast();
        // SAFETY: a box is never null.
        Self { first: unsafe { NonNull::new_unchecked(first) }, length }
    }

    /// Where so many values begin, for as long as `self` lives.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub(crate) fn at(&mut self, start: usize, length: usize) -> *mut T {
        assert!(start <= self.length && length <= self.length - start, "there are {} values", self.length);
        // SAFETY: by the assertion it is inside of what is owned, or at its end.
        unsafe { self.first.as_ptr().add(start) }
    }

    /// Lends out so many values.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub(crate) fn part_mut(&mut self, start: usize, length: usize) -> &mut [T] {
        let first = self.at(start, length);
        // SAFETY: these values are owned, each was written when it was allocated, and `&mut self` keeps everybody else away
        // for as long as they are lent out: the kernel writes only during calls, which borrow their owner.
        unsafe { slice::from_raw_parts_mut(first, length) }
    }
}

impl<T> Deref for Fixed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: as for `part_mut`, but that nobody writes while `&self` lasts.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.length) }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the box that `new` took apart, and nobody else puts it together again.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.length)) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pointed_at_is_where_it_was_and_says_what_it_is_told() {
        let mut values = Fixed::new(7_u32, 3);
        let (first, last) = (values.at(0, 1), values.at(2, 1));
        values.part_mut(1, 2).copy_from_slice(&[8, 9]);
        let mut values = Box::new(values);
        // SAFETY: both are inside of what `values` still owns, and nothing is lent out.
        unsafe {
            *first += *last;
        }
        assert_eq!(**values, [16, 8, 9]);
        assert_eq!(values.at(2, 1), last);
        assert!(values.part_mut(3, 0).is_empty() && Fixed::new(0_u8, 0).is_empty());
    }

    #[test]
    #[should_panic(expected = "there are 3 values")]
    fn no_more_is_lent_out_than_there_is() {
        Fixed::new(0_u8, 3).part_mut(1, 3);
    }
}
