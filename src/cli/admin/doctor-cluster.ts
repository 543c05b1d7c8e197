/**
 * The way to the coordinator, step by step: what is wrong at one step is told there, and the steps behind it are left out.
 */
import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import { Connection } from '../../client/connection.ts';
import { openRemoteSession } from '../../client/remote/session.ts';
import type { ClusterView } from '../../core/answers.ts';
import { ShoalError } from '../../lib/errors.ts';
import { version } from '../../lib/version.ts';
import { type ClusterFlags, type Target, targetOf } from '../flags.ts';
import type { Finding } from './doctor.ts';

export async function examineCluster(flags: ClusterFlags): Promise<Finding[]> {
  let target: Target;
  try {
    target = targetOf(flags, ['admin', 'client+bundles', 'client', 'read-only']);
  } catch (error) {
    return [failed('token', error)];
  }
  const address: Finding = { check: 'address', status: 'ok', what: `${target.address}, from ${target.from}` };
  const addresses = target.address.split(',');
  const ways = await Promise.all(addresses.map((each) => wayTo({ ...target, address: each })));
  // Of several each says which it is.
  const named = ways.flatMap(({ findings }, at) =>
    findings.map((finding) => (addresses.length === 1 ? finding : { ...finding, what: `${addresses[at]}: ${finding.what}` })),
  );
  const answers = ways.flatMap(({ readiness }) => readiness ?? []);
  if (answers.length === 0) return [address, ...named];
  // One that stands by is not ready, and one that leads is enough.
  const leading = answers.find((answer) => !('error' in answer) && answer.status === 200);
  return [address, ...named, ready(leading ?? answers[0]!), ...(await inside(target))];
}

/** `readiness`: of a coordinator, if there is one. */
async function wayTo(target: Target): Promise<{ findings: Finding[]; readiness?: Answer | Silence }> {
  const live = await probe(`${target.address}/livez`);
  if ('error' in live) return { findings: await nobody(target, live) };
  if (live.status !== 200 || live.text !== 'ok') return { findings: [stranger(live)] };
  const findings: Finding[] = [{ check: 'coordinator', status: 'ok', what: 'it answers' }];
  if (live.dateMs !== undefined) findings.push(clock(live.dateMs - Date.now()));
  return { findings, readiness: await probe(`${target.address}/readyz`) };
}

/** What a ShoalError says, as a finding. */
export function failed(check: string, error: unknown): Finding {
  const { message, why, hint } = error instanceof ShoalError ? error : { message: String(error), why: undefined, hint: undefined };
  const what = why === undefined ? message : `${message}: ${why}`;
  return { check, status: 'fail', what, ...(hint !== undefined && { try: hint }) };
}

// ---- does anybody answer? ----

interface Answer {
  status: number;
  text: string;
  dateMs: number | undefined;
}
interface Silence {
  /** `ECONNREFUSED` and the like. */
  error: string;
  message: string;
}

const probeMs = 3_000;

/** Not `fetch`, which refuses some ports that a coordinator may well have. */
function probe(url: string): Promise<Answer | Silence> {
  return new Promise((resolve) => {
    const request = (url.startsWith('https:') ? https : http).get(url, { timeout: probeMs, agent: false }, (response) => {
      const { date } = response.headers;
      const status = response.statusCode ?? 0;
      text(response).then((body) => resolve({ status, text: body, dateMs: date === undefined ? undefined : Date.parse(date) }), fail);
    });
    const fail = ({ code, name, message }: NodeJS.ErrnoException): void => resolve({ error: code ?? name, message });
    request.on('error', fail);
    request.on('timeout', () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
  });
}

const answerCharactersMax = 1_000;

/** The beginning: a stranger may talk for ever. */
async function text(response: http.IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) {
    body += chunk as string;
    if (body.length > answerCharactersMax) break;
  }
  return body.trim();
}

/** Without a cluster nobody has to be at the address that nobody chose. */
async function nobody({ address, from }: Target, { error, message }: Silence): Promise<Finding[]> {
  const isChosen = from !== 'the default';
  const start = 'shoal coordinator\nor say where it is: --address URL';
  switch (error) {
    case 'ECONNREFUSED': {
      const what = `nobody listens there${isChosen ? '' : ', which is fine without a cluster'}`;
      return [{ check: 'coordinator', status: isChosen ? 'fail' : 'warn', what, try: start }, ...(await port(address))];
    }
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return [{ check: 'coordinator', status: 'fail', what: `no machine is known by that name: ${message}`, try: '--address URL' }];
    case 'ETIMEDOUT':
      return [
        {
          check: 'coordinator',
          status: 'fail',
          what: `no answer within ${probeMs / 1000} s`,
          try: 'is the machine up, and does a firewall let this port through?',
        },
      ];
    default:
      return [{ check: 'coordinator', status: 'fail', what: message, try: address.startsWith('https:') ? trust : secure }];
  }
}

const secure = 'https:// instead of http://, if it is a coordinator with a certificate\nor say where the coordinator is: --address URL';
const trust = 'NODE_EXTRA_CA_CERTS=FILE with the authority that signed its certificate\nor, if it has none, http:// instead of https://';

/** Only on this machine can we take the port ourselves. */
async function port(address: string): Promise<Finding[]> {
  const { hostname, port: text } = new URL(address);
  if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) return [];
  const number = Number(text) || (address.startsWith('https:') ? 443 : 80);
  const problem = await new Promise<Error | undefined>((resolve) => {
    const server = createServer().once('error', resolve);
    server.listen(number, hostname.replace(/[[\]]/g, ''), () => server.close(() => resolve(undefined)));
  });
  if (!problem) return [{ check: 'port', status: 'ok', what: `${number} is free for a coordinator` }];
  return [{ check: 'port', status: 'warn', what: `a coordinator could not listen there: ${problem.message}`, try: '--listen 127.0.0.1:0' }];
}

function stranger({ status, text }: Answer): Finding {
  const what = `something answers there (${status}: ${text.slice(0, 60)}), but it is no coordinator`;
  return { check: 'coordinator', status: 'fail', what, try: '--address URL' };
}

const skewMsMax = 5_000;

function clock(skewMs: number): Finding {
  if (Math.abs(skewMs) <= skewMsMax) return { check: 'clock', status: 'ok', what: "agrees with the coordinator's" };
  const what = `differs from the coordinator's by ${Math.round(Math.abs(skewMs) / 1000)} s`;
  // Nothing is judged by comparing clocks of two machines; what people read is.
  return { check: 'clock', status: 'warn', what: `${what}: times shown are off by that, nothing else is`, try: 'synchronise both (NTP)' };
}

function ready(answer: Answer | Silence): Finding {
  if (!('error' in answer) && answer.status === 200) return { check: 'ready', status: 'ok', what: 'it takes work' };
  const what = 'error' in answer ? answer.message : answer.text;
  return { check: 'ready', status: 'fail', what, try: 'look at the log of the coordinator, and at the disk of its journal' };
}

// ---- are we let in, and what do we see? ----

async function inside(target: Target): Promise<Finding[]> {
  try {
    const connection = new Connection(await openRemoteSession({ ...target, attempts: 1 }));
    try {
      const role = await roleOf(connection);
      const view = await connection.request<ClusterView>({ kind: 'status' });
      return [{ check: 'token', status: 'ok', what: `let in as ${role}` }, ...seen(view, target)];
    } finally {
      connection.close();
    }
  } catch (error) {
    const finding = failed('token', error);
    if (target.token) return [finding];
    return [{ ...finding, what: 'there is none to show', try: "SHOAL_TOKEN, or --token-file, with one of the coordinator's tokens" }];
  }
}

/** By asking for what cannot be done: who may do such things hears that it is not there. */
async function roleOf(connection: Connection): Promise<string> {
  const nobodys = 'shoal doctor';
  const isRefused = (request: Promise<unknown>): Promise<boolean> =>
    request.then(
      () => false,
      (error: unknown) => error instanceof ShoalError && error.code === 'SH3002',
    );
  if (!(await isRefused(connection.request({ kind: 'drainWorker', worker: nobodys })))) return 'admin';
  if (!(await isRefused(connection.request({ kind: 'cancel', job: nobodys, reason: nobodys })))) return 'client';
  return 'read-only';
}

const survives = {
  process: 'what is confirmed survives its end, but not a crash of the server that stores it',
  host: 'what is confirmed is on its disk',
  replicated: 'what is confirmed is replicated',
} as const;

function seen({ version: theirs, durability, workers, problems }: ClusterView, { address }: Target): Finding[] {
  return [
    theirs === version
      ? { check: 'version', status: 'ok', what: `it runs shoal ${theirs}, as we do` }
      : {
          check: 'version',
          status: 'warn',
          what: `it runs shoal ${theirs}, we ${version}; the protocol is the same`,
          try: 'one release on all',
        },
    durability === 'none'
      ? {
          check: 'durability',
          status: 'warn',
          what: 'its journal is in memory: jobs end with it',
          try: 'shoal coordinator --journal file:DIR',
        }
      : {
          check: 'durability',
          status: 'ok',
          what: survives[durability],
        },
    workers.live === 0
      ? { check: 'workers', status: 'warn', what: 'there are none', try: `shoal worker --address ${address} --allow-bundles` }
      : { check: 'workers', status: 'ok', what: `${workers.live} with ${workers.slots} slots` },
    ...problems.map((problem): Finding => ({ check: 'problem', status: 'warn', ...problem })),
  ];
}
