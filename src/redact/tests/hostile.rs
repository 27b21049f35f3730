//! What is written to get past us, or to make us work.
