/**
 * Tokens: who may do what with a cluster. A file of lines `role token`, made at a coordinator's first start; several lines
 * of one role are all good, which is how a token is replaced without a pause.
 *
 * For the same user on the same machine a coordinator leaves a copy of its admin token in the user's configuration, so that
 * nobody has to carry tokens about on a laptop.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ShoalError } from './errors.ts';
import { configHome } from './folders.ts';
import { makeFolder } from './make-folder.ts';
import { Secret } from './secret.ts';

/** `client+bundles` may also upload programs, which is running code of its own on the workers. */
const roles = ['admin', 'client', 'client+bundles', 'worker', 'read-only'] as const;
export type Role = (typeof roles)[number];

const madeAtFirst: readonly Role[] = ['admin', 'client', 'worker', 'read-only'];
const tokenCharactersMin = 20;

export interface Tokens {
  /** Takes equally long for any token, known or not. */
  roleOf(token: string): Role | undefined;
  /** The newest one of a role: the last line. */
  newest(role: Role): Secret | undefined;
}

/** Reads the file, or makes it with one random token a role, mode 0600. SH1323 if others could read it or it makes no sense. */
export function openTokens(file: string): Tokens {
  const lines = madeAtFirst.map((role) => `${role.padEnd(9)} ${newToken()}\n`);
  writeOnce(file, `# role token; roles: ${roles.join(', ')}. Several lines of one role are all good.\n${lines.join('')}`);
  return readTokens(file);
}

function newToken(): string {
  return `shoal_${randomBytes(32).toString('base64url')}`;
}

/** Whole or not at all; nothing if it is there. */
function writeOnce(file: string, text: string): void {
  let handle: number;
  try {
    makeFolder(dirname(file));
    handle = openSync(file, 'wx', 0o600);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && syscall === 'open') return;
    throw new ShoalError('SH1323', `the tokens file ${file} cannot be made`, { why: (error as Error).message, cause: error });
  }
  writeSync(handle, text);
  fsyncSync(handle);
  closeSync(handle);
}

/** SH1323 */
export function readTokens(file: string): Tokens {
  const known = parseTokens(file);
  const hashes = known.map(({ role, secret }) => ({ role, hash: hashOf(secret.reveal()) }));
  return {
    roleOf(token) {
      const hash = hashOf(token);
      let found: Role | undefined;
      for (const each of hashes) if (timingSafeEqual(hash, each.hash)) found = each.role;
      return found;
    },
    newest: (role) => known.findLast((each) => each.role === role)?.secret,
  };
}

function parseTokens(file: string): { role: Role; secret: Secret }[] {
  refuseIfOpenToOthers(file);
  const known: { role: Role; secret: Secret }[] = [];
  readText(file)
    .split('\n')
    .forEach((line, index) => {
      if (/^\s*(#|$)/.test(line)) return;
      const [role, token, ...rest] = line.trim().split(/\s+/);
      if (!(roles as readonly (string | undefined)[]).includes(role) || token === undefined || rest.length > 0) {
        throw new ShoalError('SH1323', `line ${index + 1} of ${file} is no "role token"`, { hint: `roles are ${roles.join(', ')}` });
      }
      if (token.length < tokenCharactersMin) {
        throw new ShoalError('SH1323', `the token in line ${index + 1} of ${file} is too short to be safe`, {
          hint: `take ${tokenCharactersMin} random characters or more`,
        });
      }
      known.push({ role: role as Role, secret: new Secret(token) });
    });
  return known;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ShoalError('SH1323', `the tokens file ${file} cannot be read`, { why: (error as Error).message, cause: error });
  }
}

/** Groups may read it, because orchestrators mount secrets so; the rest of the world may not, and nobody else may write. */
function refuseIfOpenToOthers(file: string): void {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  if (process.platform === 'win32' || (mode & 0o027) === 0) return;
  throw new ShoalError('SH1323', `the tokens file ${file} is open to others`, {
    why: `its mode is ${(mode & 0o777).toString(8).padStart(4, '0')}`,
    hint: `chmod 600 ${file}`,
  });
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** From a file with nothing but a token, or a coordinator's tokens file: then the first of these roles that it has. */
export function tokenFromFile(file: string, wanted: readonly Role[]): Secret {
  const text = readText(file).trim();
  if (text.length >= tokenCharactersMin && !/\s/.test(text)) return new Secret(text, file);
  const tokens = readTokens(file);
  for (const role of wanted) {
    const secret = tokens.newest(role);
    if (secret) return new Secret(secret.reveal(), `${file} (its newest token for ${role})`);
  }
  throw new ShoalError('SH1323', `the tokens file ${file} has no token for this`, { why: `it needs one of: ${wanted.join(', ')}` });
}

/** What to show a coordinator: the one given, else `SHOAL_TOKEN`, else what a coordinator of this user left on this machine. SH3002 */
export function tokenFor(address: string, given?: string | Secret): Secret | undefined {
  if (given !== undefined) return checked(typeof given === 'string' ? new Secret(given, 'the option token') : given, undefined);
  const ofEnvironment = 'SHOAL_TOKEN (environment)';
  if (process.env.SHOAL_TOKEN) return checked(new Secret(process.env.SHOAL_TOKEN, ofEnvironment), ofEnvironment);
  // Of several coordinators each takes the tokens of all.
  for (const each of address.split(',')) {
    try {
      const file = leftTokenFile(each.trim());
      return new Secret(readFileSync(file, 'utf8').trim(), `${file}, which a coordinator on this machine left`);
    } catch {
      // It has left none here, or is no address, which whoever dials it says.
    }
  }
  return undefined;
}

/** It travels in a header of HTTP, which carries no other characters. */
function checked(token: Secret, from: string | undefined): Secret {
  const at = token.reveal().search(/[^!-~]/);
  if (at < 0) return token;
  throw new ShoalError('SH3002', 'this token is none', {
    why: `its character ${at + 1} is a space, a line break, or one that is not ASCII: it was not copied as it is`,
    from,
    hint: 'a token is one word, as it stands in the tokens file of the coordinator',
  });
}

/** Gives what takes it away again. A machine whose configuration cannot be written to has to be told tokens by hand. */
export function leaveToken(address: string, tokens: Tokens): () => void {
  const secret = tokens.newest('admin');
  if (!secret) return () => undefined;
  const file = leftTokenFile(address);
  const text = `${secret.reveal()}\n`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const fresh = `${file}.${process.pid}`;
    const handle = openSync(fresh, 'w', 0o600);
    writeSync(handle, text);
    closeSync(handle);
    chmodSync(fresh, 0o600);
    renameSync(fresh, file);
  } catch {
    return () => undefined;
  }
  return () => {
    try {
      if (readFileSync(file, 'utf8') === text) rmSync(file);
    } catch {
      // Somebody tidied up before us.
    }
  };
}

function leftTokenFile(address: string): string {
  const { hostname, port, protocol } = new URL(address);
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0|\[::\])$/.test(hostname);
  const host = isHere ? 'loopback' : hostname.replace(/[^\w.-]/g, '_');
  return join(configHome(), 'coordinators', `${host}_${port || (protocol === 'https:' ? '443' : '80')}.token`);
}
