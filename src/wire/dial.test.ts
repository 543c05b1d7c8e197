import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { Secret } from '../lib/secret.ts';
import { type BusyError, dial, Redial } from './dial.ts';
import { socketServer } from './line.suite.ts';
import { openLink } from './link.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function answering(status: number, body: string, headers: Record<string, string> = {}): Promise<string> {
  const server = createServer();
  const answer = (response: ServerResponse): void => void response.writeHead(status, headers).end(body);
  server.on('request', (_request, response) => answer(response));
  server.on('upgrade', (_request, socket) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status} No\r\n${lines.join('')}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('dial', () => {
  test('opens a line, with the token in the headers and nowhere else', async () => {
    const server = await socketServer();
    let seen: { url?: string | undefined; authorization?: string | undefined; protocol?: unknown } = {};
    server.onAccept = (_socket, { url, headers }) => {
      seen = { url, authorization: headers.authorization, protocol: headers['shoal-protocol'] };
    };
    const socket = await dial({ address: `${server.address}/`, path: '/x', token: new Secret('secret') });
    expect(seen).toEqual({ url: '/x', authorization: 'Bearer secret', protocol: '1' });
    socket.terminate();
    await server.close();
  });

  test.each([
    [401, 'SH3002'],
    [403, 'SH3002'],
    [426, 'SH3005'],
    [429, 'SH3006'],
    [503, 'SH3006'],
    [404, 'SH3001'],
    [500, 'SH3001'],
  ])('HTTP %i is told as %s, in the words of the answer', async (status, code) => {
    const address = await answering(status, JSON.stringify({ title: 'No', detail: 'because of that' }));
    await expect(dial({ address, path: '/' })).rejects.toMatchObject({ code, why: 'because of that' });
  });

  test('a token that is missing is told apart from one that is wrong, and where that is from', async () => {
    const address = await answering(401, JSON.stringify({ code: 'SH3002', detail: 'the token is missing or wrong' }));
    const none = { why: 'it was shown no token', from: expect.stringContaining('neither --token-file nor SHOAL_TOKEN') };
    await expect(dial({ address, path: '/' })).rejects.toMatchObject(none);
    const token = new Secret('wrong', 'SHOAL_TOKEN (environment)');
    const wrong = { why: 'it does not know the token that it was shown', from: 'SHOAL_TOKEN (environment)' };
    await expect(dial({ address, path: '/', token })).rejects.toMatchObject(wrong);
  });

  test('an answer that is no JSON is told by its status', async () => {
    await expect(dial({ address: await answering(404, '<html>'), path: '/' })).rejects.toMatchObject({
      why: expect.stringContaining('404'),
    });
  });

  test('who asks to be left alone is left alone for as long', async () => {
    const address = await answering(503, '{}', { 'retry-after': '7' });
    const error = await dial({ address, path: '/' }).catch((thrown: unknown) => thrown);
    expect((error as BusyError).retryAfterMs).toBe(7_000);
  });

  test('nobody there: SH3001 with what the system said', async () => {
    const server = await socketServer();
    await server.close();
    await expect(dial({ address: server.address, path: '/' })).rejects.toMatchObject({
      code: 'SH3001',
      why: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('a certificate that nobody vouches for, and the wrong one of http and https, come with what to try', async () => {
    const fixture = (name: string): Buffer => readFileSync(new URL(`../api/fixtures/localhost.${name}.pem`, import.meta.url));
    const secure = createTlsServer({ cert: fixture('cert'), key: fixture('key') });
    const plain = createServer();
    servers.push(secure, plain);
    for (const server of [secure, plain]) await once(server.listen(0, '127.0.0.1'), 'listening');
    const [securePort, plainPort] = [secure, plain].map((server) => (server.address() as AddressInfo).port);
    const hintAt = async (address: string): Promise<string> => (await dial({ address, path: '/' }).catch((error) => error)).hint;
    expect(await hintAt(`https://localhost:${securePort}`)).toContain('NODE_EXTRA_CA_CERTS');
    expect(await hintAt(`http://localhost:${securePort}`)).toContain(`: https://localhost:${securePort}`);
    expect(await hintAt(`https://localhost:${plainPort}`)).toContain(`: http://localhost:${plainPort}`);
  });

  test('somebody there who never answers: SH3001 by the deadline (S10)', async () => {
    const server = createServer(() => undefined);
    server.on('upgrade', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(dial({ address, path: '/', timeoutMs: 50 })).rejects.toMatchObject({ code: 'SH3001' });
  });

  test('what the other side says at once, in the packet of its answer, is not lost', async () => {
    const server = await socketServer();
    const said = new Promise<void>((resolve) => {
      server.onAccept = (socket) => socket.send(Buffer.of(0, 42), () => resolve());
    });
    const socket = await dial({ address: server.address, path: '/' });
    await said;
    for (let round = 0; round < 10; round++) await new Promise(setImmediate);
    const message = await new Promise<Uint8Array>((resolve) => {
      openLink(socket, { messageBytesMax: 100, onMessage: resolve, onClose: () => undefined });
    });
    expect([...message]).toEqual([42]);
    socket.terminate();
    await server.close();
  });

  test('an answer that trickles for ever is cut by the deadline (X08)', async () => {
    const server = createServer();
    let trickle: NodeJS.Timeout | undefined;
    server.on('upgrade', (_request, socket) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 503 No\r\ncontent-length: 60000\r\n\r\n');
      trickle = setInterval(() => socket.write(' '), 5);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(dial({ address, path: '/', timeoutMs: 100 })).rejects.toMatchObject({ code: 'SH3001', why: 'no answer within 100 ms' });
    clearInterval(trickle);
  });

  test('a wait of years is not believed', async () => {
    const address = await answering(503, '{}', { 'retry-after': '99999999' });
    await expect(dial({ address, path: '/' })).rejects.toMatchObject({ retryAfterMs: 60_000 });
  });

  test.each(['http://me:hunter2@host:7690', 'http://me:hunter2@host:999999', 'http://me:hun/ter2@host'])(
    'a password in an address is refused, and not shown (X03): case %#',
    async (address) => {
      const error = (await dial({ address, path: '/' }).catch((thrown: unknown) => thrown)) as Error;
      expect(error).toMatchObject({ code: 'SH1301' });
      expect(error.message).not.toMatch(/hun|ter2/);
    },
  );

  test.each(['localhost:7690', 'ftp://x', 'http://', 'http://a/b/c'])('%s is no address and refused by name', async (address) => {
    await expect(dial({ address, path: '/' })).rejects.toMatchObject({ code: 'SH1301', message: expect.stringContaining(address) });
  });
});

describe('redialling', () => {
  test('a thousand that were cut off together come back spread over the whole time (N13)', () => {
    const attempts = Array.from({ length: 1_000 }, () => {
      const redial = new Redial();
      return Array.from({ length: 7 }, () => redial.nextMs());
    });
    const seventh = attempts.map((waits) => waits[6]!);
    for (let second = 0; second < 5; second++) {
      const within = seventh.filter((ms) => ms >= second * 1_000 && ms < (second + 1) * 1_000).length;
      expect(within).toBeGreaterThan(100);
    }
  });

  test('never waits longer than the bound, begins anew after success, and heeds what the other side asked for', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 0, max: 9_000 }),
        (tries, random, least) => {
          const redial = new Redial(() => random);
          for (let i = 0; i < tries; i++) {
            const bound = Math.min(5_000, 100 * 2 ** i);
            const ms = redial.nextMs(least);
            expect(ms).toBeGreaterThanOrEqual(least);
            expect(ms - least).toBeLessThanOrEqual(bound);
          }
          redial.reset();
          expect(redial.nextMs()).toBeLessThanOrEqual(100);
        },
      ),
    );
  });
});
