//! Typed indices: the index of a diff cannot be used for an object or a life, and every lookup
//! succeeds.

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// An index into arenas of one kind.
pub(crate) trait Place: Copy {
    #[doc(hidden)]
    fn of(index: usize) -> Self;
    #[doc(hidden)]
    fn index(self) -> usize;
}

macro_rules! places {
    ($($(#[$doc:meta])* $visible:vis $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visible struct $name(usize);

        impl Place for $name {
            fn of(index: usize) -> Self {
                Self(index)
            }

            fn index(self) -> usize {
                self.0
            }
        }
    )*};
}

places! {
    /// The index of a diff in its request, without duplicates.
    pub DiffPlace
    /// The index of an object among those of a request or a merge.
    pub ObjectPlace
    /// The index of a life among those of its object.
    pub(super) LifePlace
}

/// Items that are found by their typed indices.
///
/// An index comes from adding to an arena. It stays valid for that arena, which only grows, and for
/// arenas that were [mapped](Self::map) from it later. So a lookup cannot fail.
#[derive(Clone, Debug)]
pub(crate) struct Arena<P, T> {
    items: Vec<T>,
    place: PhantomData<P>,
}

impl<P, T> Default for Arena<P, T> {
    fn default() -> Self {
        Self { items: Vec::new(), place: PhantomData }
    }
}

impl<P: Place, T> Arena<P, T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity), place: PhantomData }
    }

    pub(super) fn push(&mut self, item: T) -> P {
        self.items.push(item);
        P::of(self.items.len() - 1)
    }

    /// Like [`push`](Self::push), but does not reserve memory for more items.
    pub(super) fn push_exact(&mut self, item: T) -> P {
        self.items.reserve_exact(1);
        self.push(item)
    }

    /// A new arena with a value for each item, at the same index.
    pub(super) fn map<U>(&self, map: impl FnMut(&T) -> U) -> Arena<P, U> {
        Arena { items: self.items.iter().map(map).collect(), place: PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (P, &T)> {
        self.items.iter().enumerate().map(|(index, item)| (P::of(index), item))
    }

    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    pub(super) fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "places come from the arena: the only indexing there is"
)]
impl<P: Place, T> Index<P> for Arena<P, T> {
    type Output = T;

    fn index(&self, place: P) -> &T {
        &self.items[place.index()]
    }
}

#[allow(clippy::indexing_slicing, reason = "as above")]
impl<P: Place, T> IndexMut<P> for Arena<P, T> {
    fn index_mut(&mut self, place: P) -> &mut T {
        &mut self.items[place.index()]
    }
}
