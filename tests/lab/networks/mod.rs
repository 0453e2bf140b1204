//! Networks as they are: proxies, CAs of their own, IPv6, endpoints that are not reached.

mod ipv6;
mod private;
mod proxies;
