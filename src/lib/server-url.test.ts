import { expect, it } from 'vitest';
import { parseServerUrl, shownUrl } from './server-url.ts';

it.each([
  ['redis://h', 'redis://h', []],
  ['redis+sentinel://s1:26379,s2/mymaster?db=2', 'redis+sentinel://s1:26379/mymaster?db=2', ['s2']],
  ['amqp://me:p%40ss@h:1,[::1]:2,i/v%2Fhost', 'amqp://me:p%40ss@h:1/v%2Fhost', ['[::1]:2', 'i']],
  ['mongodb+srv://h/db?a=b', 'mongodb+srv://h/db?a=b', []],
])('%s', (text, first, otherHosts) => {
  expect(parseServerUrl(text)).toEqual({ url: new URL(first), otherHosts });
});

const encoding = 'in a user, a password or a path / is %2F, ? is %3F, # is %23 and @ is %40';

it.each([
  ['amqp:/x', 'there is no // behind its first colon'],
  ['redis:h', 'there is no // behind its first colon'],
  ['redis://', 'it names no host'],
  ['kafka://:9092', 'it names no host'],
  ['amqp:///vhost', 'it names no host'],
  ['redis://h,', 'one of its hosts has no name'],
  ['redis://,h', 'one of its hosts has no name'],
  ['redis://h:notaport', 'the port "notaport" is no number from 1 to 65535'],
  ['redis://h:', 'the port "" is no number from 1 to 65535'],
  ['redis://h:0', 'the port "0" is no number from 1 to 65535'],
  ['redis://h,i:65536', 'the port "65536" is no number from 1 to 65535'],
  ['redis://a b', '"a b" is no host'],
  ['redis://[::1', '"[::1" is no host'],
  ['redis://h\n', '"h\n" is no host'],
  ['redis://me:Q%Z@h', 'in a user or a password % is %25'],
  ['redis://me:Q/Z@h', encoding],
  ['redis://me:Q?Z@h', encoding],
  ['redis://me:Q#Z@h', encoding],
  ['redis://me:12/Z@h', encoding],
  ['redis://me:Q@Z/Q@h', encoding],
])('%j makes no sense, and what it says has no password', (text, fault) => {
  expect(parseServerUrl(text)).toEqual({ fault });
  expect(fault + shownUrl(text)).not.toMatch(/[QZ]/);
});
