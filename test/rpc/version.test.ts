import { expect, test } from 'vitest';
import { agreeOnVersion } from '../../src/rpc/version.js';

const speaks = (protocolVersionMin: number, protocolVersion: number) => ({
  protocolVersionMin,
  protocolVersion,
});

test.each([
  [speaks(1, 1), speaks(1, 1), 1],
  [speaks(1, 3), speaks(2, 5), 3],
  [speaks(2, 5), speaks(1, 3), 3],
  [speaks(3, 4), speaks(1, 3), 3],
])('%o and %o agree on version %i', (theirs, own, version) => {
  expect(agreeOnVersion(theirs, 'n2', own)).toBe(version);
});

test.each([
  [speaks(2, 3), speaks(1, 1), /n2 speaks protocol versions 2 to 3, this side protocol version 1/],
  [speaks(1, 1), speaks(2, 3), /n2 speaks protocol version 1, this side protocol versions 2 to 3/],
])('%o and %o do not', (theirs, own, message) => {
  expect(() => agreeOnVersion(theirs, 'n2', own)).toThrow(message);
});
