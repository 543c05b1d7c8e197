import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect as connectTcp, createServer as createTcp } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import type { Role } from '../lib/tokens.ts';
import {
  type Plugs,
  parse,
  RawClient,
  raw,
  type Served,
  seeded,
  serve,
  tokenOf,
  tokensOfAllRoles,
  untilClosed,
  upgrade,
  upgradeText,
} from './api.suite.ts';
import { type ApiOptions, openApi } from './server.ts';

const fixture = (name: string): string => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8');
const tls = { cert: fixture('localhost.cert.pem'), key: fixture('localhost.key.pem') };

const plugs = (): Plugs => ({ broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() });

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function served(options: Partial<ApiOptions> = {}): Promise<Served> {
  const it = await serve(plugs(), options);
  open.push(it);
  return it;
}

const request = (method: string, path: string, headers = ''): string => `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
const ask = async (port: number, text: string): Promise<ReturnType<typeof parse>> => parse(await raw(port, text));
const once200 = 'Connection: close\r\n';

describe('where it listens', () => {
  const elsewhere: ApiOptions = {
    listen: { host: '0.0.0.0', port: 0 },
    tokens: tokensOfAllRoles(),
    session: () => expect.unreachable(),
    acceptWorker: () => expect.unreachable(),
    isReady: () => ({ ready: true }),
  };

  test.each(['0.0.0.0', '::', '192.0.2.1', 'shoal.internal'])('on %s without TLS it does not start, and says what to do', async (host) => {
    await expect(openApi({ ...elsewhere, listen: { host, port: 0 } })).rejects.toMatchObject({
      code: 'SH1324',
      message: expect.stringContaining(host),
      hint: expect.stringMatching(/--tls-cert FILE --tls-key FILE[\s\S]*--insecure-plaintext/),
    });
  });

  test('it starts there when told to all the same, warns, and asks for tokens', async () => {
    const { port, warnings } = await served({ listen: { host: '0.0.0.0', port: 0 }, insecurePlaintext: true });
    expect(warnings).toEqual([expect.stringMatching(/^INSECURE: http:\/\/0\.0\.0\.0:\d+ /)]);
    expect((await upgrade(port, { host: 'anything:1' })).status).toBe(401);
    expect((await upgrade(port, { host: 'anything:1', token: tokenOf('client') })).status).toBe(101);
  });

  test('over TLS it is reached as https, and nobody speaks to it in the clear', async () => {
    const { api, port } = await served({ tls });
    expect(api.address).toBe(`https://127.0.0.1:${port}`);
    const [response] = await once(get(`${api.address}/livez`, { ca: tls.cert, agent: false }), 'response');
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(await raw(port, request('GET', '/livez', once200))).not.toContain('200');
    const socket = new WebSocket(`${api.address.replace('http', 'ws')}/api/v1/stream`, {
      ca: tls.cert,
      headers: { authorization: `Bearer ${tokenOf('client')}`, 'shoal-protocol': '1' },
    });
    await once(socket, 'open');
    socket.terminate();
  });

  test('a certificate that is none, a port that is taken and an address of elsewhere are told apart', async () => {
    const loopback = { ...elsewhere, listen: { host: '127.0.0.1', port: 0 } };
    await expect(openApi({ ...loopback, tls: { cert: 'none', key: tls.key } })).rejects.toMatchObject({ code: 'SH1322' });
    const { port } = await served();
    await expect(openApi({ ...loopback, listen: { host: '127.0.0.1', port } })).rejects.toMatchObject({ code: 'SH1325' });
    const away = { ...elsewhere, listen: { host: '192.0.2.1', port: 0 }, insecurePlaintext: true };
    await expect(openApi(away)).rejects.toMatchObject({ code: 'SH1326' });
  });

  test('its key shows nowhere (X03)', async () => {
    const { api } = await served({ tls });
    const secret = tls.key.split('\n')[1]!;
    expect(tls.key).toContain(secret);
    expect(inspect(api, { depth: 9, showHidden: true })).not.toContain(secret);
    expect(JSON.stringify(api)).not.toContain(secret);
    const broken = await openApi({ ...elsewhere, tls: { cert: 'none', key: tls.key } }).catch((error: unknown) => error);
    expect(inspect(broken, { depth: 9, showHidden: true })).not.toContain(secret);
  });
});

describe('plain HTTP', () => {
  test('tells that it lives, and whether it is ready, to anybody', async () => {
    let state: ReturnType<ApiOptions['isReady']> = { ready: true };
    const { port } = await served({ isReady: () => state });
    expect(await ask(port, request('GET', '/livez', once200))).toMatchObject({ status: 200, body: 'ok\n' });
    expect(await ask(port, request('GET', '/readyz?verbose', once200))).toMatchObject({ status: 200, body: 'ok\n' });
    state = { ready: false, why: 'it does not lead' };
    expect(await ask(port, request('GET', '/livez', once200))).toMatchObject({ status: 200 });
    expect(await ask(port, request('GET', '/readyz', once200))).toMatchObject({ status: 503, body: 'it does not lead\n' });
    expect(await ask(port, request('HEAD', '/livez', once200))).toMatchObject({ status: 200, body: '' });
  });

  test('has nothing else, takes no body, and says so as a problem', async () => {
    const { port } = await served();
    const missing = await ask(port, request('GET', '/api/v1/jobs'));
    expect(missing.headers).toContain('content-type: application/problem+json');
    const detail = 'there is nothing at /api/v1/jobs';
    expect(JSON.parse(missing.body)).toEqual({ type: 'about:blank', title: 'not found', status: 404, detail, code: 'SH1331' });
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const answer = await ask(port, request(method, '/livez', 'Content-Length: 2\r\n'));
      expect(answer.status).toBe(405);
      expect(answer.headers).toContain('allow: GET, HEAD');
    }
    expect((await ask(port, request('GET', '/livez', 'Content-Length: 2\r\nExpect: 100-continue\r\n'))).status).toBe(413);
    expect((await ask(port, request('GET', '/livez', 'Transfer-Encoding: chunked\r\n'))).status).toBe(413);
  });

  test.each(['//[', 'http://[::', '/%', '//', '*', '/\u007f?#', `/${'x'.repeat(8_000)}`])(
    'an odd path like %j harms nobody (X09)',
    async (path) => {
      const { port } = await served();
      await raw(port, request('GET', path, once200));
      await raw(port, upgradeText({ path, token: tokenOf('client') }));
      expect((await ask(port, request('GET', '/livez', once200))).status).toBe(200);
    },
  );
});

describe('tokens and roles', () => {
  test('a wrong token and none look the same (X01, X02)', async () => {
    const { port, sessions } = await served();
    const [none, wrong, half] = await Promise.all(
      [undefined, 'shoal_wrong', tokenOf('client').slice(0, -1)].map((token) => upgrade(port, { ...(token && { token }) })),
    );
    expect(none!.status).toBe(401);
    expect(none!.headers).toContain('www-authenticate: Bearer');
    expect(wrong).toEqual(none);
    expect(half).toEqual(none);
    expect(sessions).toHaveLength(0);
  });

  test('a token in the address is none', async () => {
    const { port } = await served();
    const path = `/api/v1/stream?token=${tokenOf('admin')}&access_token=${tokenOf('admin')}`;
    const answer = await upgrade(port, { path });
    expect(answer.status).toBe(401);
    expect(answer.body + answer.headers).not.toContain(tokenOf('admin'));
  });

  test.each<[Role, number, number]>([
    ['admin', 101, 101],
    ['client', 101, 403],
    ['client+bundles', 101, 403],
    ['read-only', 101, 403],
    ['worker', 403, 101],
  ])('%s: client line %i, worker line %i', async (role, stream, workers) => {
    const { port } = await served();
    expect((await upgrade(port, { token: tokenOf(role) })).status).toBe(stream);
    expect((await upgrade(port, { token: tokenOf(role), path: '/api/v1/workers' })).status).toBe(workers);
  });

  test.each(['2', ''])('protocol %j is answered with the one that is spoken (V02)', async (protocol) => {
    const { port } = await served();
    const answer = await upgrade(port, { token: tokenOf('client'), protocol });
    expect(answer.status).toBe(426);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'SH3005', detail: expect.stringContaining('version 1') });
    // Versions are told to those who are let in.
    expect((await upgrade(port, { protocol })).status).toBe(401);
  });

  test('after 20 wrong tokens an address waits out its minute, with the right one too (X02)', async () => {
    let nowMs = 0;
    const { port } = await served({ nowMs: () => nowMs });
    for (let i = 0; i < 20; i++) expect((await upgrade(port, { token: `shoal_wrong_${i}` })).status).toBe(401);
    nowMs = 20_000;
    const barred = await upgrade(port, { token: tokenOf('client') });
    expect(barred.status).toBe(429);
    expect(barred.headers).toContain('retry-after: 40');
    nowMs = 60_000;
    expect((await upgrade(port, { token: tokenOf('client') })).status).toBe(101);
  });

  test('of many that come back at once the first 300 a second are let in, the others are told when (N13)', async () => {
    let nowMs = 0;
    const { port } = await served({ nowMs: () => nowMs });
    const storm = async (): Promise<number[]> => {
      const statuses: number[] = [];
      for (let i = 0; i < 310; i += 10) {
        const answers = await Promise.all(Array.from({ length: 10 }, () => upgrade(port, { token: tokenOf('client') })));
        for (const { status, headers } of answers) {
          statuses.push(status);
          if (status === 503) expect(headers).toContain('retry-after: 1');
        }
      }
      return statuses.toSorted((a, b) => a - b);
    };
    const expected = [...Array.from({ length: 300 }, () => 101), ...Array.from({ length: 10 }, () => 503)];
    expect(await storm()).toEqual(expected);
    nowMs = 1_000;
    expect(await storm()).toEqual(expected);
  });

  test('there are so many lines and no more; one that ends makes room (X08)', async () => {
    const { port } = await served({ linesMax: 2 });
    const first = await RawClient.open(port, 'client');
    const second = await RawClient.open(port, 'worker', '/api/v1/workers');
    const refused = await upgrade(port, { token: tokenOf('client') });
    expect(refused.status).toBe(503);
    expect(refused.headers).toContain('retry-after');
    first.socket.close();
    await first.closed;
    expect((await upgrade(port, { token: tokenOf('client') })).status).toBe(101);
    second.socket.terminate();
  });
});

describe('pages of other origins (X07)', () => {
  const rebound = ['evil.example', 'evil.example:7690', '127.0.0.1.evil.example', 'localhost.evil.example', '', '10.0.0.1'];
  test.each(rebound)('on loopback the name %j is not answered, by any way in', async (host) => {
    const { port, sessions } = await served();
    expect((await upgrade(port, { token: tokenOf('admin'), host })).status).toBe(403);
    for (const path of ['/livez', '/readyz', '/x']) {
      expect((await ask(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).status).toBe(403);
    }
    expect(sessions).toHaveLength(0);
  });

  test.each(['localhost', 'LOCALHOST:7690', '127.0.0.1:1', '127.1.2.3', '[::1]:7690'])('its own name %j is', async (host) => {
    const { port } = await served();
    expect((await upgrade(port, { token: tokenOf('client'), host })).status).toBe(101);
  });

  const origins = ['null', 'https://evil.example', 'http://localhost:1', 'http://127.0.0.1.evil.example', 'file://', ''];
  test.each(origins)('the origin %j is refused, whatever token it shows', async (origin) => {
    const { port } = await served();
    const host = `127.0.0.1:${port}`;
    expect((await upgrade(port, { token: tokenOf('admin'), host, origin })).status).toBe(403);
    expect((await ask(port, `POST /livez HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n\r\n`)).status).toBe(403);
  });

  test('its own origin is not', async () => {
    const { port } = await served();
    const host = `127.0.0.1:${port}`;
    expect((await upgrade(port, { token: tokenOf('client'), host, origin: `http://${host}` })).status).toBe(101);
  });
});

describe('who sends slowly, nothing, or too much', () => {
  test.each([
    ['nothing', ''],
    ['half a head', 'GET /livez HTTP/1.1\r\nHost: loc'],
    ['half an upgrade', upgradeText({}).slice(0, -10)],
  ])('%s: the connection is closed (X08)', async (_, text) => {
    const { port } = await served({ headersMs: 100 });
    expect(await raw(port, text)).not.toContain('200');
  });

  test('half a TLS handshake: the connection is closed (X08)', async () => {
    const { port } = await served({ tls, headersMs: 100 });
    expect(await raw(port, Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))).toBe('');
  });

  test('who was refused and stays is closed (X08)', async () => {
    const { port } = await served();
    const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(upgradeText({}));
    const closed = untilClosed(socket);
    // It never ends its own side; only one that is gone answers what it writes with a reset.
    const writes = setInterval(() => socket.write('x'), 20);
    expect(parse(await closed).status).toBe(401);
    clearInterval(writes);
  });

  test('too long a head is closed, and so are many headers (X08)', async () => {
    const { port } = await served();
    expect(await raw(port, request('GET', '/livez', `X: ${'x'.repeat(17_000)}\r\n`))).not.toContain('200');
    expect(await raw(port, request('GET', '/livez', 'a: bcdefgh\r\n'.repeat(5_000)))).not.toContain('200');
    expect((await ask(port, request('GET', '/livez', once200))).status).toBe(200);
  });

  test('2 000 idle connections leave room for a good worker (X08)', async () => {
    const { port, workers } = await served({ linesMax: 1 });
    const idle = Array.from({ length: 2_000 }, () => connectTcp(port, '127.0.0.1'));
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    const worker = await RawClient.open(port, 'worker', '/api/v1/workers');
    expect(workers).toHaveLength(1);
    worker.socket.terminate();
    for (const socket of idle) socket.destroy();
  });

  test('10 000 random first frames reach nobody (X01)', async () => {
    const { port, sessions, workers } = await served();
    const random = seeded(7);
    const one = async (): Promise<void> => {
      const head = random() < 0.5 ? upgradeText({ path: random() < 0.5 ? '/api/v1/stream' : '/api/v1/workers' }) : '';
      const noise = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
      const socket = connectTcp(port, '127.0.0.1');
      const said = untilClosed(socket);
      socket.end(Buffer.concat([Buffer.from(head), noise]));
      expect(await said).not.toContain('101 Switching');
    };
    for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 100 }, one));
    expect(sessions).toHaveLength(0);
    expect(workers).toHaveLength(0);
    expect((await ask(port, request('GET', '/livez', once200))).status).toBe(200);
  });

  test('pings of who does not read are not all answered: memory stays flat (X09)', async () => {
    const { port, workers } = await served();
    // A bare socket: an end that judges silence would cut the line itself where all this takes seconds.
    const socket = connectTcp(port, '127.0.0.1');
    socket.write(upgradeText({ path: '/api/v1/workers', token: tokenOf('worker') }));
    await once(socket, 'data');
    socket.pause();
    const [near] = workers;
    let pings = 0;
    const all = new Promise<void>((resolve, reject) => {
      near!.on('ping', () => ++pings === 200_000 && resolve());
      near!.once('close', () => reject(new Error(`closed after ${pings} pings`)));
    });
    const ping = Buffer.concat([Buffer.from([0x89, 0x80 + 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
    socket.write(Buffer.concat(Array<Buffer>(200_000).fill(ping)));
    await all;
    expect(near!.bufferedAmount).toBeLessThan(3 * 1024 * 1024);
    socket.destroy();
  });

  test('what claims to be compressed, endless fragments and frames too large end the line (X09)', async () => {
    const { port } = await served();
    const line = async (frame: Buffer): Promise<void> => {
      const socket = connectTcp(port, '127.0.0.1');
      socket.write(upgradeText({ token: tokenOf('client') }));
      await once(socket, 'data');
      const closed = untilClosed(socket);
      socket.write(frame);
      await closed;
    };
    const masked = (first: number, length: number[]): Buffer => Buffer.from([first, ...length, 0, 0, 0, 0]);
    await line(Buffer.concat([masked(0xc2, [0x81]), Buffer.from([0])]));
    await line(masked(0x82, [0xff, 0, 0, 0, 1, 0, 0, 0, 0]));
    await line(Buffer.from([0x82, 1, 0]));
    const crumb = Buffer.concat([masked(0x00, [0x81]), Buffer.from([1])]);
    const begin = Buffer.concat([masked(0x02, [0x81]), Buffer.from([1])]);
    await line(Buffer.concat([begin, ...Array.from({ length: 2_000 }, () => crumb)]));
    expect((await ask(port, request('GET', '/livez', once200))).status).toBe(200);
  });
});

describe('stopping', () => {
  test('tells clients and workers, in an orderly way, and leaves the port free', async () => {
    const it = await serve(plugs());
    const client = await RawClient.open(it.port, 'client');
    const worker = await RawClient.open(it.port, 'worker', '/api/v1/workers');
    await it.close();
    expect(await client.closed).toEqual([1012, 'the coordinator stops']);
    expect(await worker.closed).toEqual([1012, 'the coordinator stops']);
    const again = createTcp().listen(it.port, '127.0.0.1');
    await once(again, 'listening');
    again.close();
  });

  test('does not wait for those who do not answer', async () => {
    const it = await serve(plugs());
    const deaf = await RawClient.open(it.port, 'client');
    deaf.socket.pause();
    const stranger = connectTcp(it.port, '127.0.0.1');
    const half = connectTcp({ port: it.port, host: '127.0.0.1', allowHalfOpen: true });
    half.write(upgradeText({}));
    await Promise.all([once(stranger, 'connect'), once(half, 'data')]);
    await it.close();
    for (const socket of [stranger, half]) socket.destroy();
    deaf.socket.terminate();
  });
});
