//! Certificates: who a listener is to its clients, and who they are to it.

mod command;
