import { expect, test } from 'vitest';
import { formatAddress, isWildcardHost, parseAddress } from '../../src/base/address.js';
import { nearest } from '../../src/base/suggest.js';

test.each([
  ['127.0.0.1:7001', '127.0.0.1', 7001],
  ['localhost:0', 'localhost', 0],
  ['balsa-0.balsa.default.svc:65535', 'balsa-0.balsa.default.svc', 65_535],
  ['[::1]:7001', '::1', 7001],
  ['[fe80::1%eth0]:1', 'fe80::1%eth0', 1],
])('%s is an address', (text, host, port) => {
  expect(parseAddress(text)).toEqual({ ok: true, address: { host, port } });
  expect(formatAddress({ host, port })).toBe(text);
});

test.each([
  ['', 'is not host:port'],
  ['localhost', 'is not host:port'],
  [':7001', 'is not a host name'],
  ['h:', 'has no port from 0 to 65535'],
  ['h:65536', 'has no port from 0 to 65535'],
  ['h:7o01', 'has no port from 0 to 65535'],
  ['::1:7001', 'an IPv6 address needs brackets: [::1]:7001'],
  ['[::g]:7001', 'is not an IPv6 address'],
  ['[h]:7001', 'is not an IPv6 address'],
  ['999.1.1.1:7001', 'is not a host name'],
  ['a b:7001', 'is not a host name'],
  ['http://h:7001', 'is not a host name'],
])('%j is refused', (text, problem) => {
  const parsed = parseAddress(text);
  expect(parsed.ok ? 'accepted' : parsed.problem).toContain(problem);
});

test('wildcards are known in both families', () => {
  expect(['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '::1', '10.0.0.0'].map(isWildcardHost)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});

test('the nearest word is found, and none when all are far', () => {
  const words = ['members', 'heartbeatMs', 'logLevel'];
  expect(
    ['member', 'hearbeatMs', 'loglevle', 'colour'].map((word) => nearest(word, words)),
  ).toEqual(['members', 'heartbeatMs', 'logLevel', null]);
});
