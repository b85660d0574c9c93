//! From the bytes of a line to its frames: echo, tokens, deframer, and the timer for what does not go on.

use super::echo::Echo;
use super::frame::FrameBuf;
use crate::limits::after;
use bytes::Bytes;
use core::time::Duration;
use dtu_proto::tokens::{TokenDeframer, TokenSet, TokenStep};
use dtu_proto::{Framing, Malformed};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The echoes that are waited for, of requests that left one behind the other without a wait. Of more the oldest is forgotten.
const ECHOES_MAX: usize = 16;

/// What stood on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Frame(FrameBuf),
    Skipped { bytes: usize, cause: Malformed },
    Token { index: usize },
}

#[derive(Debug)]
pub(super) struct Reader<F> {
    deframer: TokenDeframer<F, Vec<u8>, Arc<TokenSet>>,
    /// Of what left and is not back yet, in this order.
    echoes: Vec<Echo>,
    stall: Duration,
    /// When the last byte came of what waits for more.
    last_byte: Option<Instant>,
    pub(super) pieces: VecDeque<Piece>,
    pub(super) echo_bytes: u64,
    pub(super) skipped_bytes: u64,
}

impl<F: Framing> Reader<F> {
    pub(super) fn new(framing: F, tokens: Arc<TokenSet>, stall: Duration) -> Self {
        let (deframer, pieces) = (TokenDeframer::new(framing, tokens), VecDeque::new());
        Self { deframer, echoes: Vec::new(), stall, last_byte: None, pieces, echo_bytes: 0, skipped_bytes: 0 }
    }

    /// Takes these tokens out from now on. What waits is given up.
    pub(super) fn set_tokens(&mut self, tokens: Arc<TokenSet>)
    where
        F: Clone,
    {
        self.give_up();
        self.deframer = TokenDeframer::new(self.deframer.framing().clone(), tokens);
    }

    pub(super) const fn framing(&self) -> &F {
        self.deframer.framing()
    }

    /// The echo of `request` comes behind those that are expected already.
    pub(super) fn expect_echo(&mut self, request: Bytes) {
        if self.echoes.len() == ECHOES_MAX {
            self.echoes.remove(0);
        }
        self.echoes.push(Echo::new(request));
    }

    /// What has not come back by now does not come any more.
    pub(super) fn forget_echoes(&mut self) {
        self.echoes.clear();
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.echoes.is_empty() {
            self.cut(bytes);
        } else {
            let line = self.without_echoes(bytes, false);
            self.cut(&line);
        }
        // A heartbeat is no sign of the rest of a frame: one that comes often would keep a false beginning for ever.
        let since = if self.is_token(bytes) { self.last_byte.unwrap_or(now) } else { now };
        self.last_byte = self.is_waiting().then_some(since);
    }

    /// Takes the echoes out, one after the other; `silent` says that no more bytes come for now.
    fn without_echoes(&mut self, bytes: &[u8], silent: bool) -> Vec<u8> {
        let mut line = bytes.to_vec();
        for echo in &mut self.echoes {
            let mut rest = Vec::with_capacity(line.len());
            self.echo_bytes += echo.filter(&line, &mut rest) as u64;
            if silent {
                self.echo_bytes += echo.give_up(&mut rest) as u64;
            }
            line = rest;
        }
        self.echoes.retain(|echo| !echo.is_done());
        line
    }

    fn is_token(&self, bytes: &[u8]) -> bool {
        self.deframer.tokens().patterns().any(|pattern| pattern == bytes)
    }

    /// Whether bytes wait for more.
    pub(super) fn is_waiting(&self) -> bool {
        self.deframer.buffered() > 0 || self.echoes.iter().any(Echo::is_holding)
    }

    /// The bytes of memory that wait here: a frame that is not whole, and echoes.
    pub(super) fn memory(&self) -> usize {
        self.echoes.iter().map(Echo::memory).fold(self.deframer.buffered(), usize::saturating_add)
    }

    /// When what waits is given up.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.last_byte.map(|last_byte| after(last_byte, self.stall))
    }

    /// Gives up what waits when its time has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.give_up();
        }
    }

    /// Gives up everything that waits for more, one candidate after the other: what stands behind a false beginning is found.
    pub(super) fn give_up(&mut self) {
        let line = self.without_echoes(&[], true);
        self.cut(&line);
        while self.deframer.buffered() > 0 {
            let before = self.deframer.buffered();
            self.judge(TokenDeframer::abandon_candidate);
            self.cut(&[]);
            assert!(self.deframer.buffered() < before, "what is given up is not there any more");
        }
        self.last_byte = None;
    }

    fn cut(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = self.deframer.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            while self.judge(|deframer| Some(deframer.next_step())) {}
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Takes one step. Returns whether there was one.
    fn judge(
        &mut self,
        step: impl FnOnce(&mut TokenDeframer<F, Vec<u8>, Arc<TokenSet>>) -> Option<TokenStep<'_>>,
    ) -> bool {
        match step(&mut self.deframer) {
            Some(TokenStep::Frame { frame, removed }) => {
                // The frame borrows the deframer, in which the framing is.
                let (whole, payload) = (Bytes::copy_from_slice(frame.as_bytes()), frame.payload_range());
                let frame = FrameBuf::from_parts(self.deframer.framing(), whole, payload);
                self.pieces.extend(removed.tokens().map(|token| Piece::Token { index: token.index }));
                self.pieces.push_back(Piece::Frame(frame));
            }
            Some(TokenStep::Token { index, .. }) => self.pieces.push_back(Piece::Token { index }),
            Some(TokenStep::Skipped { bytes, cause }) => self.skipped(bytes, cause),
            Some(TokenStep::NeedMore { .. }) | None => return false,
        }
        true
    }

    /// Neighbours of one cause are added up.
    fn skipped(&mut self, bytes: usize, cause: Malformed) {
        self.skipped_bytes += bytes as u64;
        if let Some(Piece::Skipped { bytes: before, cause: same }) = self.pieces.back_mut()
            && same.name() == cause.name()
        {
            *before += bytes;
        } else {
            self.pieces.push_back(Piece::Skipped { bytes, cause });
        }
    }
}
