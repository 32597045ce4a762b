//! What the domain promises as a whole, through its public interface.

mod gates;
