/** Wrong usage, told in four parts: what was wrong, what there is, and what was probably meant. */
import { existsSync } from 'node:fs';
import type { Command, CommanderError } from 'commander';
import { ShoalError } from '../lib/errors.ts';
import { nearest } from '../lib/similar.ts';

/** `words`: what was typed, the verb first. */
export function usageError(error: CommanderError, program: Command, words: readonly string[]): ShoalError {
  const path: Command[] = [];
  for (let at: Command | undefined = program; at; at = at.commands.find((command) => command.name() === words[path.length - 1]))
    path.push(at);
  const command = path.at(-1)!;
  const name = path.map((each) => each.name()).join(' ');
  const word = words[path.length - 1];
  if (command.commands.length > 0 && error.code !== 'commander.unknownOption') return wordError(command, name, word, words);
  const message = error.message.replace(/^error: /, '').replaceAll("'", '"');
  if (error.code === 'commander.unknownOption') return flagError(command, name, message);
  if (error.code === 'commander.missingArgument') {
    const missing = /"(.+)"/.exec(message)?.[1] ?? 'argument';
    return new ShoalError('SH1311', `${name} needs <${missing}>`, { why: `usage: ${name} ${command.usage()}`, hint: `${name} --help` });
  }
  return new ShoalError('SH1311', message, { hint: `${name} --help` });
}

/** No verb, or one that there is not. */
function wordError(command: Command, name: string, word: string | undefined, words: readonly string[]): ShoalError {
  const isGroup = command.parent !== null;
  const verbs = command.commands.map((each) => each.name());
  const prefix = isGroup ? `${command.name()} ` : '';
  const why = `there is: ${verbs.map((verb) => prefix + verb).join(', ')}`;
  if (word === undefined || word.startsWith('-')) {
    return new ShoalError('SH1311', `${name} needs a ${isGroup ? 'verb' : 'command'}`, { why, hint: `${name} --help` });
  }
  const near = nearest(word, isGroup ? verbs : [...verbs, 'help']).map((verb) => `${name} ${verb}`);
  if (!isGroup && near.length === 0 && isProgram(word)) near.push(`${name} run ${words.join(' ')}`);
  const hint = near.length > 0 ? near.join('\n') : `${name} --help`;
  return new ShoalError('SH1311', `there is no command "${prefix}${word}"`, { why, hint });
}

function isProgram(word: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(word) && existsSync(word);
}

function flagError(command: Command, name: string, message: string): ShoalError {
  const wrong = /"(-[^"=]*)/.exec(message)?.[1] ?? '';
  const flags = command.options.flatMap((option) => option.long ?? []);
  const near = nearest(wrong, [...flags, '--help'], (flag) => flag.replace(/^-+/, ''));
  return new ShoalError('SH1311', `there is no flag ${wrong}`, {
    ...(command.commands.length === 0 && { why: `${name.replace(/^shoal /, '')} knows ${flags.join(' ')}` }),
    hint: near.length > 0 ? near.join(' or ') : `${name} --help`,
  });
}
