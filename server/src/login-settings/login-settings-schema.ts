import { z } from 'zod';
import { isPlainLine, text } from '../http/fields.ts';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import { normalizeDomain } from '../users/username.ts';

const maxDomains = 100;
const placeholders = ['code', 'minutes'];

/** Nothing but the code may look like one: programs take it as the first run of 6 to 8 digits in the mail's text. */
const digitsLikeACode = /\d{6}/;

/** One line of a mail's header or greeting, into which nobody gets a second one. */
function lineField(maxLength: number) {
  return text(1, maxLength)
    .refine(
      (value) => isPlainLine(value) && value.trim() !== '',
      'must be one line of text, without marks of writing direction',
    )
    .nullable()
    .default(null);
}

function usesKnownPlaceholders(value: string): boolean {
  return [...value.matchAll(/\{\{(.*?)\}\}/gs)].every(([, name]) => placeholders.includes(name!));
}

/** What other template languages write: nothing fills it in, and users would read it. */
const hasSingleBraces = (value: string) => /(?<!\{)\{\s*(?:code|minutes)\s*\}(?!\})/i.test(value);

const singleBraces = 'must have two braces around a placeholder: {{code}}, {{minutes}}';

const unknownPlaceholder = `may hold the placeholders ${placeholders.map((name) => `{{${name}}}`).join(' and ')} alone`;

/** A template as programs may come to see it: a mail's minutes are digits too, 60 of them at the most. */
const withMinutes = (value: string) => value.replaceAll('{{minutes}}', '60');

/** One code right after another, or after other digits, is read as one that is longer. */
function isCodeApart(value: string): boolean {
  return !/\d\{\{code\}\}|\{\{code\}\}(?:\d|\{\{code\}\})/.test(withMinutes(value));
}

const codeApart = 'must not have a digit or another placeholder next to {{code}}';

const mailTextField = text(1, 5_000)
  .refine(usesKnownPlaceholders, unknownPlaceholder)
  .refine((value) => !hasSingleBraces(value), singleBraces)
  .refine((value) => value.includes('{{code}}'), 'must hold {{code}} where the code is to stand')
  .refine(
    (value) => !digitsLikeACode.test(withMinutes(value).split('{{code}}')[0]!),
    'must not hold six digits in a row before {{code}}: programs would take them for the code',
  )
  .refine(isCodeApart, codeApart)
  .nullable()
  .default(null)
  .describe('Plain text of the mail with {{code}} and {{minutes}} in it; null for ours in `language`.');

const mailMembers = {
  sender: lineField(100)
    .refine((value) => value === null || !/[<>@"]/.test(value), 'must be a name, without < > @ or quotes')
    .describe('The name that mails come from; the address is the operator’s.'),
  subject: lineField(200)
    .refine((value) => value === null || usesKnownPlaceholders(value), unknownPlaceholder)
    .refine((value) => value === null || !hasSingleBraces(value), singleBraces)
    .refine((value) => value === null || isCodeApart(value), codeApart)
    .describe('May hold {{code}} and {{minutes}}; null for ours in `language`.'),
  text: mailTextField,
  language: z
    .enum(['en', 'de'])
    .default('en')
    .describe(
      'Of our own subject and text, where no login page has asked for the mail: it speaks as the page does.',
    ),
  brand_name: lineField(100)
    .refine((value) => value === null || !digitsLikeACode.test(value), 'must not hold six digits in a row')
    .describe('What mails call your application; null for the issuer’s name.'),
};

const mailField = z.strictObject(mailMembers);

const domainField = text(1, 253)
  .refine((value) => normalizeDomain(value) !== null, 'must be a domain, such as example.com')
  // Only what is one comes here; the schema of an answer meets what was stored.
  .overwrite((value) => normalizeDomain(value) ?? value);

const members = {
  code_length: z
    .literal([6, 7, 8])
    .default(6)
    .describe('Digits of a code. Under attack an issuer’s codes have 8 whatever is set.'),
  code_lifetime_seconds: z
    .int()
    .min(60)
    .max(3_600)
    .default(600)
    .describe('How long a code is good; a whole number of minutes is what mails can tell.'),
  sign_up: z.boolean().default(true).describe('Whether an unknown address becomes a user when it signs in.'),
  allowed_domains: z
    .array(domainField)
    .max(maxDomains)
    .default([])
    .describe('Whose addresses may sign up: exactly these domains, none below them. Empty for any.'),
  access_token_seconds: z
    .int()
    .min(60)
    .max(longestTokenSeconds)
    .default(600)
    .describe('How long a JWT lives; where it is verified without asking us, it can’t be ended earlier.'),
  refresh_token_seconds: z
    .int()
    .min(300)
    .max(31_536_000)
    .default(2_592_000)
    .describe('How long a session lasts without being refreshed.'),
  audience: z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters without spaces')
    .nullable()
    .default(null)
    .describe('`aud` of access tokens, up to 255 characters without spaces; null for the issuer’s URL.'),
  mail: mailField.prefault({}).describe('The mail that carries a code.'),
};

/** The settings of an issuer, whole: a merge patch is applied to what stands and then checked by this. */
export const loginSettingsMembers = z.strictObject(members).refine(
  ({ access_token_seconds: access, refresh_token_seconds: refresh }) => refresh >= access,
  // An access token counts as long as its session does.
  { path: ['refresh_token_seconds'], message: 'must be at least access_token_seconds' },
);

/**
 * What is stored of them, also by a node of a build that knows more of them, or other values: whatever this build can't
 * take is as if it had not been set, for an issuer's users must not be kept out by it. The rules are for who sets things.
 */
export const storedLoginSettings = z.object({
  code_length: orDefault(members.code_length),
  code_lifetime_seconds: orDefault(members.code_lifetime_seconds),
  sign_up: orDefault(members.sign_up),
  allowed_domains: orDefault(members.allowed_domains),
  access_token_seconds: orDefault(members.access_token_seconds),
  refresh_token_seconds: orDefault(members.refresh_token_seconds),
  audience: orDefault(members.audience),
  mail: orDefault(
    z
      .object({
        sender: orDefault(mailMembers.sender),
        subject: orDefault(mailMembers.subject),
        text: orDefault(mailMembers.text),
        language: orDefault(mailMembers.language),
        brand_name: orDefault(mailMembers.brand_name),
      })
      .prefault({}),
  ),
});

/** A member that takes its default where there is a value that it can't have. */
function orDefault<Member extends z.ZodType>(member: Member) {
  return member.catch(() => member.parse(undefined));
}

export const loginSettingsResource = z.object(members).meta({ id: 'LoginSettings' });

/** Body of `PATCH …/login-settings`; null sets a member back to its default. */
export const patchLoginSettingsBody = z
  .strictObject({
    code_length: members.code_length.unwrap().nullish(),
    code_lifetime_seconds: members.code_lifetime_seconds.unwrap().nullish(),
    sign_up: z.boolean().nullish(),
    allowed_domains: members.allowed_domains.unwrap().nullish(),
    access_token_seconds: members.access_token_seconds.unwrap().nullish(),
    refresh_token_seconds: members.refresh_token_seconds.unwrap().nullish(),
    audience: z.string().nullish(),
    mail: z
      .strictObject({
        sender: z.string().nullish(),
        subject: z.string().nullish(),
        text: z.string().nullish(),
        language: z.enum(['en', 'de']).nullish(),
        brand_name: z.string().nullish(),
      })
      .nullish(),
  })
  .meta({
    id: 'PatchLoginSettingsRequest',
    examples: [{ code_lifetime_seconds: 300, mail: { language: 'de', brand_name: 'Acme' } }],
  });
