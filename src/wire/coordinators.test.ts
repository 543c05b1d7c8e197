import { expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { ShoalError } from '../lib/errors.ts';
import { Coordinators } from './coordinators.ts';
import { BusyError, type DialOptions, Redial, StandbyError } from './dial.ts';

const [a, b, c, d] = ['http://a:1', 'http://b:1', 'http://c:1', 'http://d:1'];

/** Machines by address: an error, `leads`, or `silent`. */
function machines(of: Record<string, ShoalError | 'leads' | 'silent'>) {
  const asked: string[] = [];
  const given: string[] = [];
  const dial = ({ address, signal }: DialOptions): Promise<WebSocket> => {
    asked.push(address);
    const is = of[address] ?? unreachable(address);
    if (is === 'leads') {
      given.push(address);
      return Promise.resolve({ terminate: () => given.splice(given.indexOf(address), 1) } as unknown as WebSocket);
    }
    if (is !== 'silent') return Promise.reject(is);
    return new Promise((_, reject) => signal!.addEventListener('abort', () => reject(new Error('given up'))));
  };
  return { of, asked, given, dial };
}

const unreachable = (address: string): ShoalError => new ShoalError('SH3001', `cannot reach ${address}`, { why: 'refused' });
const standby = (address: string, leader?: string): StandbyError => new StandbyError(address, leader);
const options = { path: '/x' };

test('the one that leads is found among those that are away and those that stand by, and is asked first from then on (N15)', async () => {
  const net = machines({ [b]: standby(b), [c]: 'leads' });
  const coordinators = new Coordinators(`${a},${b}/, ${c}`, net.dial);
  await coordinators.dial(options);
  expect(net.asked).toEqual([a, b, c]);
  await coordinators.dial(options);
  expect(net.asked.slice(3)).toEqual([c]);
  net.of[c] = unreachable(c);
  net.of[b] = 'leads';
  await coordinators.dial(options);
  expect(net.asked.slice(4)).toEqual([c, a, b]);
});

test('a pointer is followed, also to an address that nobody was told of, and not for ever', async () => {
  const net = machines({ [a]: standby(a, d), [d]: 'leads' });
  await new Coordinators(`${a},${b}`, net.dial).dial(options);
  expect(net.asked).toEqual([a, d]);

  const circle = machines({ [a]: standby(a, b), [b]: standby(b, a) });
  await expect(new Coordinators(a, circle.dial).dial(options)).rejects.toBeInstanceOf(StandbyError);
  expect(circle.asked).toEqual([a, b]);
});

test('no pointer leads from TLS to the clear, or anywhere but to a plain address: the token goes along', async () => {
  for (const leader of [a, 'https://user:password@evil', 'https://evil/path', 'file:///etc/passwd', 'nonsense']) {
    const net = machines({ 'https://a:1': standby('https://a:1', leader) });
    await expect(new Coordinators('https://a:1', net.dial).dial(options)).rejects.toBeInstanceOf(StandbyError);
    expect(net.asked).toEqual(['https://a:1']);
  }
});

test('one that swallows everything holds nobody up, and its line is not kept when it comes late', async () => {
  const net = machines({ [a]: 'silent', [b]: 'leads' });
  await new Coordinators(`${a},${b}`, net.dial).dial(options);
  expect(net.given).toEqual([b]);
});

test('when none leads it says what is worth another try, if anything is', async () => {
  const outcome = (of: Record<string, ShoalError>): Promise<unknown> =>
    new Coordinators(Object.keys(of).join(','), machines(of).dial).dial(options);
  const refused = new ShoalError('SH3002', 'not let in');
  await expect(outcome({ [a]: refused })).rejects.toBe(refused);
  await expect(outcome({ [a]: refused, [b]: refused })).rejects.toBe(refused);
  await expect(outcome({ [a]: refused, [b]: standby(b) })).rejects.toMatchObject({ code: 'SH3020' });
  await expect(outcome({ [a]: unreachable(a), [b]: new BusyError(b, 'rushed', 1) })).rejects.toMatchObject({
    code: 'SH3001',
    message: `cannot reach a coordinator at ${a}, ${b}`,
    why: `${a}: refused; ${b}: rushed`,
  });
});

test('whoever hears that no one leads yet asks again soon, however often', () => {
  const redial = new Redial(() => 1);
  // The first tries are closer, for a leader that leaves in order is followed within moments.
  expect(redial.afterMs(standby(a))).toBe(200);
  for (let i = 0; i < 10; i++) expect(redial.afterMs(standby(a))).toBeLessThan(500);
  for (let i = 0; i < 10; i++) redial.afterMs(unreachable(a));
  expect(redial.afterMs(unreachable(a))).toBe(5_000);
});
