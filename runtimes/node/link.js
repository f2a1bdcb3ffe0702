'use strict';
// Descriptor 3: the only way in and out of the worker. Reads through the event loop; writes at once
// where the socket has room, which saves a turn of the loop per frame.
//
// Frames leave in the order of `send`. Anything malformed ends the process: there is no
// resynchronisation.

const { writeSync } = require('fs');
const { Socket } = require('net');
const { Splitter } = require('./frame.js');

const { exit } = process;

const LINK_FD = 3;
const READ_BUFFER_BYTES = 64 * 1024;

/** Opens the link. `onFrame(type, message)` gets each frame, `onEnd()` the end of the link. */
function open(onFrame, onEnd) {
  const splitter = new Splitter(onFrame);
  const socket = new Socket({
    fd: LINK_FD,
    readable: true,
    writable: true,
    onread: {
      buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
      callback(size, buffer) {
        receive(splitter, buffer.subarray(0, size));
        return true;
      },
    },
  });
  socket.on('end', onEnd);
  // A daemon that has gone resets the link; that is an end like any other.
  socket.on('error', onEnd);
  socket.on('close', onEnd);
  socket.resume();

  return {
    send(frame) {
      let rest = frame;
      if (socket.writableLength === 0) {
        const written = writeNow(frame);
        if (written === frame.length) return;
        rest = frame.subarray(written);
      }
      socket.write(rest);
    },
    /** Calls back once everything sent has been taken by the kernel. */
    flush(done) {
      if (socket.writableLength === 0) done();
      else socket.end(done);
    },
  };
}

function receive(splitter, bytes) {
  try {
    splitter.push(bytes);
  } catch (error) {
    fatal(error);
  }
}

/** Ends the worker: the daemon said something that this protocol does not have. */
function fatal(error) {
  try {
    writeSync(2, `alyx: the worker link is broken: ${error.message}\n`);
  } finally {
    exit(1);
  }
}

function writeNow(frame) {
  try {
    return writeSync(LINK_FD, frame);
  } catch {
    // No room: the socket queues it. Any other failure comes up again there.
    return 0;
  }
}

module.exports = { open };
