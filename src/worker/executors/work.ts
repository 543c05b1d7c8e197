/** The words that the executors share with the protocol. */
export type { DefinitionRef } from '../../core/spec.ts';
export type { ArgShape, ErrorRecord, InputShape, LogLine, Ranges } from '../../core/messages.ts';
