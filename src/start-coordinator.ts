/**
 * A coordinator as a server: its candidacy, what carries messages to workers, and the port where clients and operators talk
 * to it, which is open whether it leads or not.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { openApi, refuseOpenPlaintext } from './api/server.ts';
import { openServerBroker, serverPlace } from './broker-of.ts';
import { WsBrokerServer } from './brokers/ws/server.ts';
import { Candidacy } from './coordinator/candidacy.ts';
import type { Coordinator } from './coordinator/coordinator.ts';
import { type PolicyName, policies, policyNames } from './core/policies.ts';
import { openElection } from './election-of.ts';
import { checkJournalAddress, journalFolder, openJournal } from './journal-of.ts';
import type { Journal } from './journals/journal.ts';
import { ShoalError } from './lib/errors.ts';
import { configHome } from './lib/folders.ts';
import { leaveToken, openTokens } from './lib/tokens.ts';
import { plainUrl } from './wire/dial.ts';

export interface CoordinatorServerOptions {
  /** `HOST:PORT`; default 127.0.0.1:7690. Port 0 takes a free one. */
  listen?: string;
  /** How clients and workers reach it, for the other coordinators to point to; default: where it listens. */
  advertise?: string;
  /** Default `ws:`, the port itself; or a message system: `redis://HOST:PORT` and the like. */
  broker?: string;
  /** Tells apart the clusters that share a broker or a journal. Default `shoal`. */
  cluster?: string;
  /** Messages at that broker are signed with it. */
  clusterSecret?: string;
  /** Where jobs live: default `file:.shoal`; `memory:` ends with the process; or a database: `postgres://…` and the like. */
  journal?: string;
  /** Who leads of several coordinators: default `file:` beside a file journal, else `none:`. */
  election?: string;
  /** What waits on a worker behind long tasks goes to workers with a free slot; default true. */
  stealing?: boolean;
  /** Which of the workers that want more tasks is served first; default `adaptive`: the one with the least time of work for each slot. */
  policy?: PolicyName;
  /** Made at the first start, mode 0600. Default: `tokens` in the journal's folder, else in the user's configuration. */
  tokenFile?: string;
  tls?: { certFile: string; keyFile: string };
  /** Allows another address than loopback without TLS: tokens and data then cross the network in the clear. */
  insecurePlaintext?: boolean;
  /** One line for the log of this process. */
  onLog?: (line: string) => void;
  /** It leads now, or stands by while another does. */
  onStanding?: (standing: 'leads' | 'standby') => void;
  /** It can't go on (its journal is damaged, say) and has stopped. A leadership that is lost is no such thing: it stands by. */
  onFailed?: (error: unknown) => void;
}

export interface CoordinatorServer {
  /** As clients and workers are given it. */
  readonly address: string;
  readonly tokenFile: string;
  /** Of its journal; undefined while another leads and it has opened none. */
  readonly durability: Journal['durability'] | undefined;
  readonly isLeading: boolean;
  /** Finishes the commit under way, resigns, tells clients and workers, and ends; jobs stay in the journal. Idempotent. */
  stop(): Promise<void>;
}

/** Resolves when it listens, and leads or knows that another coordinator does. */
export async function startCoordinator(options: CoordinatorServerOptions = {}): Promise<CoordinatorServer> {
  const listen = listenAddress(options.listen ?? '127.0.0.1:7690');
  const journalUrl = options.journal ?? 'file:.shoal';
  const { cluster = 'shoal', policy = 'adaptive', stealing = true } = options;
  if (!Object.hasOwn(policies, policy)) {
    throw new ShoalError('SH1341', `there is no policy "${String(policy)}"`, { hint: `one of ${policyNames.join(', ')}` });
  }
  checkJournalAddress(journalUrl);
  const electionUrl = options.election ?? electionBeside(journalUrl);
  const advertised = options.advertise === undefined ? undefined : advertisedUrl(options.advertise);
  const place = serverPlace(options.broker ?? 'ws:', options.cluster, options.clusterSecret);
  const tls = options.tls && readTls(options.tls);
  const onWarning = (line: string): void => options.onLog?.(line);
  // Before anything is made.
  refuseOpenPlaintext({ listen, insecurePlaintext: options.insecurePlaintext === true, ...(tls && { tls }) });
  const tokenFile = options.tokenFile ?? join(journalFolder(journalUrl) ?? configHome(), 'tokens');
  const election = await openElection(electionUrl, { cluster, onWarning });
  const lines = new WsBrokerServer({ onWarning });
  const closing: (() => Promise<void>)[] = [() => election.close()];
  const close = async (): Promise<void> => {
    for (const step of closing) await step();
  };
  try {
    const carried = place && (await openServerBroker(place, { onWarning }));
    const broker = carried ?? lines;
    closing.unshift(() => broker.close());
    const tokens = openTokens(tokenFile);
    let candidacy: Candidacy | undefined;
    const leading = (): Coordinator => candidacy!.coordinator!;
    const api = await openApi({
      listen,
      tokens,
      ...(tls ? { tls } : {}),
      insecurePlaintext: options.insecurePlaintext === true,
      standing: () => (candidacy?.coordinator ? { leads: true } : { leads: false, ...pointer(candidacy?.leaderUrl) }),
      session: () => leading().session(),
      room: () => candidacy?.coordinator?.room(),
      ...(!place && { acceptWorker: (socket, who) => lines.accept(socket, who) }),
      isReady: () => readiness(candidacy),
      onWarning,
    });
    // Before anybody who waited for the port has been heard: that may be a worker that has no token yet.
    const takeBack = leaveToken(api.address, tokens);
    closing.push(async () => takeBack());
    closing.unshift(() => api.close());
    const own = new Candidacy({
      election,
      broker,
      ...(carried && { brokerAddress: carried.where }),
      url: advertised ?? reachable(api.address),
      dealing: { policy, stealing },
      openJournal: () => openJournal(journalUrl, { cluster, isElected: electionUrl !== 'none:', onWarning }),
      onWarning,
      onChange: (standing) => {
        if (standing === 'standby') lines.hangUp();
        options.onStanding?.(standing);
      },
      ...(options.onFailed ? { onFailed: options.onFailed } : {}),
    });
    candidacy = own;
    lines.onGone((addresses) => own.coordinator?.connectionsClosed(addresses));
    // First of all: the next may lead while this one still says goodbye.
    closing.unshift(() => own.stop());
    await own.start();
    let stopping: Promise<void> | undefined;
    return {
      address: api.address,
      tokenFile,
      get durability() {
        return own.durability;
      },
      get isLeading() {
        return own.coordinator !== undefined;
      },
      stop: () => (stopping ??= close()),
    };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

function readiness(candidacy: Candidacy | undefined): { ready: boolean; why?: string } {
  const leading = candidacy?.coordinator;
  if (leading) return leading.isServing ? { ready: true } : { ready: false, why: 'its journal is full' };
  const leader = candidacy?.leaderUrl;
  return { ready: false, why: leader === undefined ? 'standby; no leader is known yet' : `standby; ${leader} leads` };
}

const pointer = (leader: string | undefined): { leader?: string } => (leader === undefined ? {} : { leader });

/** Where nothing outlives the process there is nobody to take over from. */
export function electionBeside(journalUrl: string): string {
  const folder = journalFolder(journalUrl);
  return folder === undefined ? 'none:' : `file:${join(folder, 'election')}`;
}

/** It listens everywhere; who dials has to say where. */
function reachable(address: string): string {
  return address.replace(/\/\/(0\.0\.0\.0|\[::\]):/, `//${hostname()}:`);
}

function advertisedUrl(text: string): string {
  const url = plainUrl(text);
  if (url) return url.origin;
  throw new ShoalError('SH1340', `"${text}" is no address to advertise`, {
    hint: 'http://HOST:PORT or https://HOST:PORT, as clients reach it',
  });
}

function listenAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new ShoalError('SH1320', `"${text}" is no address to listen on`, { hint: 'HOST:PORT, as in 127.0.0.1:7690 or [::1]:7690' });
  }
  return { host: match[1] ?? match[2]!, port };
}

function readTls({ certFile, keyFile }: { certFile: string; keyFile: string }): { cert: string; key: string } {
  const read = (file: string, what: string): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      throw new ShoalError('SH1322', `the ${what} ${file} cannot be read`, { why: (cause as Error).message, cause });
    }
  };
  return { cert: read(certFile, 'TLS certificate'), key: read(keyFile, 'TLS key') };
}
