//! Networks as companies have them: proxies, private CAs, IPv6 and endpoints that cannot be reached.

mod ipv6;
mod private;
mod proxies;
