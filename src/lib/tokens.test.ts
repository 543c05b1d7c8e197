import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Secret } from './secret.ts';
import { leaveToken, openTokens, readTokens, tokenFor, tokenFromFile } from './tokens.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-tokens-'));
  vi.stubEnv('SHOAL_HOME', join(folder, 'home'));
  vi.stubEnv('SHOAL_TOKEN', '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const linesOf = (file: string): string[][] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => line.split(/\s+/));

test('the first start makes one random token a role, readable by its owner alone; the second start keeps them', () => {
  const file = join(folder, 'deep', 'tokens');
  const tokens = openTokens(file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const lines = linesOf(file);
  expect(lines.map(([role]) => role)).toEqual(['admin', 'client', 'worker', 'read-only']);
  expect(new Set(lines.map(([, token]) => token)).size).toBe(4);
  for (const [role, token] of lines) {
    expect(token).toMatch(/^shoal_[\w-]{43}$/);
    expect(tokens.roleOf(token!)).toBe(role);
  }
  openTokens(file);
  expect(linesOf(file)).toEqual(lines);
});

test('anything else is nobody’s (X02)', () => {
  const tokens = openTokens(join(folder, 'tokens'));
  for (const wrong of ['', 'shoal_', 'x'.repeat(49), '__proto__', tokens.newest('admin')!.reveal().slice(0, -1)]) {
    expect(tokens.roleOf(wrong)).toBeUndefined();
  }
});

test('several lines of a role are all good, the last one is the newest; bundles are a right of their own', () => {
  const file = join(folder, 'tokens');
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(30)) as [string, string, string];
  writeFileSync(file, `# old and new\nclient ${a}\n\nclient   ${b}\nclient+bundles ${c}\n`, { mode: 0o600 });
  const tokens = readTokens(file);
  expect([a, b, c].map((token) => tokens.roleOf(token))).toEqual(['client', 'client', 'client+bundles']);
  expect(tokens.newest('client')!.reveal()).toBe(b);
  expect(tokens.newest('worker')).toBeUndefined();
});

test.each([
  ['king aaaaaaaaaaaaaaaaaaaaaaaa', /line 1 .*role/],
  ['admin', /line 1/],
  ['admin a b c', /line 1/],
  ['admin short', /too short/],
])('a line like %j is refused with its number', (line, message) => {
  const file = join(folder, 'tokens');
  writeFileSync(file, line, { mode: 0o600 });
  expect(() => readTokens(file)).toThrow(expect.objectContaining({ code: 'SH1323', message: expect.stringMatching(message) }));
});

test('a file that others can read is refused, with what mends it', () => {
  const file = join(folder, 'tokens');
  openTokens(file);
  chmodSync(file, 0o644);
  expect(() => openTokens(file)).toThrow(expect.objectContaining({ code: 'SH1323', hint: `chmod 600 ${file}` }));
  chmodSync(file, 0o440);
  expect(() => openTokens(file)).not.toThrow();
});

test('a tokens file where there can be none is refused by its name', () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  expect(() => openTokens(join(file, 'tokens'))).toThrow(
    expect.objectContaining({ code: 'SH1323', message: expect.stringContaining(file) }),
  );
});

test.each(['shoal_…', 'two\nlines', 'two words'])('a token like %j is refused before it is sent, and is not shown (X03)', (token) => {
  const refused = expect.objectContaining({ code: 'SH3002', why: expect.not.stringContaining(token) });
  expect(() => tokenFor('http://127.0.0.1:7690', token)).toThrow(refused);
});

test('a token is the one given, else of the environment, else what a coordinator on this machine left', () => {
  const tokens = openTokens(join(folder, 'tokens'));
  expect(tokenFor('http://127.0.0.1:7690')).toBeUndefined();
  const takeBack = leaveToken('http://0.0.0.0:7690', tokens);
  const admin = tokens.newest('admin')!.reveal();
  expect(tokenFor('http://127.0.0.1:7690')!.from).toContain('which a coordinator on this machine left');
  for (const host of ['127.0.0.1', 'localhost', '[::1]']) expect(tokenFor(`http://${host}:7690`)!.reveal()).toBe(admin);
  expect(tokenFor('http://127.0.0.1:7691')).toBeUndefined();
  expect(tokenFor('http://elsewhere:7690')).toBeUndefined();
  vi.stubEnv('SHOAL_TOKEN', 'of-the-environment');
  expect(tokenFor('http://127.0.0.1:7690')!.reveal()).toBe('of-the-environment');
  expect(tokenFor('http://127.0.0.1:7690')!.from).toBe('SHOAL_TOKEN (environment)');
  expect(tokenFor('http://127.0.0.1:7690', 'given')!.reveal()).toBe('given');
  vi.stubEnv('SHOAL_TOKEN', '');
  takeBack();
  expect(tokenFor('http://127.0.0.1:7690')).toBeUndefined();
  expect(takeBack).not.toThrow();
});

test('a token comes from a file of its own, or from a tokens file by what it is needed for', () => {
  const file = join(folder, 'one');
  writeFileSync(file, 'shoal_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n');
  expect(tokenFromFile(file, ['worker']).reveal()).toBe('shoal_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
  expect(tokenFromFile(file, ['worker']).from).toBe(file);
  const all = join(folder, 'tokens');
  const tokens = openTokens(all);
  expect(tokenFromFile(all, ['client+bundles', 'worker']).reveal()).toBe(tokens.newest('worker')!.reveal());
  expect(() => tokenFromFile(all, ['client+bundles'])).toThrow('no token for this');
  expect(() => tokenFromFile(join(folder, 'nothing'), ['worker'])).toThrow('cannot be read');
});

test('a secret shows itself to nobody (X03)', () => {
  const secret = new Secret('canary');
  const seen = [
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    `${secret}`,
    inspect([secret]),
  ];
  expect(seen.join()).not.toContain('canary');
  expect(secret.reveal()).toBe('canary');
});
