/** What this folder needs of a logger; a pino logger is one. Fields never hold a secret or a connection string. */
export type DatabaseLog = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};
