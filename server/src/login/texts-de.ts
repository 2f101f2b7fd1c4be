import { html } from '../mail/html.ts';
import type { Texts } from './texts.ts';

const counted = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`;

export const german: Texts = {
  error: 'Fehler',
  sandbox: 'Sandbox',
  sandboxHint: 'Dies ist eine Testumgebung. Codes gehen an das Sandbox-Postfach, nicht an Ihres.',
  requestId: 'Anfrage-ID',
  continue: 'Weiter',
  search: 'Suchen',
  address: {
    title: 'Anmelden',
    lead: (client) => `und weiter zu ${client}`,
    label: 'E-Mail-Adresse',
    hint: 'Wir schicken Ihnen einen Code. Sie brauchen kein Passwort.',
    invalid: 'Geben Sie eine E-Mail-Adresse ein, zum Beispiel alice@example.com.',
    tooMany: (wait) => `Es wurden zu viele Codes verschickt. Versuchen Sie es in ${wait} noch einmal.`,
    tooSoon: (wait) =>
      `Sie können in ${wait} wieder einen Code anfordern. Haben Sie schon einen erhalten, verwenden Sie diesen.`,
    haveCode: 'Ich habe schon einen Code',
  },
  code: {
    title: 'Sehen Sie in Ihr Postfach',
    sent: 'Wenn Sie sich mit',
    sentAfter: ' anmelden können, ist ein Code zu Ihnen unterwegs. Das kann eine Minute dauern.',
    label: 'Code',
    submit: 'Anmelden',
    malformed: 'Geben Sie den Code aus der E-Mail ein: 6 bis 8 Ziffern.',
    wrong: (left) =>
      left > 0
        ? `Dieser Code ist falsch oder abgelaufen. ${left === 1 ? 'Es bleibt 1 Versuch.' : `Es bleiben ${left} Versuche.`}`
        : 'Dieser Code ist falsch oder abgelaufen. Fordern Sie einen neuen an, um weiterzumachen.',
    tooMany: (wait) =>
      `Zu viele Versuche. Versuchen Sie es in ${wait} noch einmal. Ein neuer Code ändert daran nichts.`,
    spent: 'Es gab zu viele falsche Codes. Der letzte gilt deshalb nicht mehr.',
    spentTitle: 'Sie brauchen einen neuen Code',
    as: 'Sie melden sich an mit',
    noneYet: 'Keine E-Mail? Sehen Sie zuerst im Spam-Ordner nach.',
    inDevelopment: 'Dies ist ein Entwicklungsserver. Seine E-Mails finden Sie unter',
    resend: 'Neuen Code senden',
    resendIn: 'Neuer Code in {seconds} s',
    resendTooSoon: (wait) => `Einen weiteren Code gibt es in ${wait}.`,
    lastWorks: 'Der letzte gilt noch.',
    resent: 'Ein neuer Code ist unterwegs. Nur der neueste gilt.',
    change: 'Andere Adresse verwenden',
  },
  organization: {
    title: 'Organisation wählen',
    lead: (client) => `Sie gehören zu mehreren. Für welche möchten Sie ${client} verwenden?`,
    left: (client) => `Sie gehören jetzt zu einer Organisation. Möchten Sie ${client} für sie verwenden?`,
    all: 'Mit allen weiter',
    search: 'Organisation finden',
    more: 'Weitere Organisationen',
    first: 'Zurück zu den ersten',
    showAll: 'Alle Organisationen anzeigen',
    none: (query) => `Keine Ihrer Organisationen hat „${query}“ im Namen.`,
  },
  consent: {
    title: (client) => `Darf ${client} Ihr Konto verwenden?`,
    as: 'Angemeldet als',
    lead: 'Die Anwendung kann dann:',
    scopes: {
      openid: 'Sie wiedererkennen',
      profile: 'Ihren Namen und Ihr Profil sehen',
      email: 'Ihre E-Mail-Adresse sehen',
      phone: 'Ihre Telefonnummer sehen',
      offline_access: 'Den Zugriff behalten, während Sie nicht da sind',
    },
    claims: (names) => html`Diese Angaben aus Ihrem Profil sehen: ${names}`,
    api: (scope) => html`Die Berechtigung ${scope} für Sie nutzen`,
    apiAt: (scope, resource) => html`Die Berechtigung ${scope} bei ${resource} für Sie nutzen`,
    resource: (resource) => `${resource} mitteilen, wer Sie sind`,
    organizations: {
      all: 'Ihre Organisationen sehen und alle Berechtigungen nutzen, die Sie dort haben',
      none: 'Sehen, zu welchen Organisationen Sie gehören',
      only: (scopes) =>
        html`Ihre Organisationen sehen und dort diese Berechtigungen nutzen, soweit Sie sie haben: ${scopes}`,
    },
    organization: {
      all: (name) => `Sehen, dass Sie zu ${name} gehören, und alle Berechtigungen nutzen, die Sie dort haben`,
      none: (name) => `Sehen, dass Sie zu ${name} gehören`,
      only: (name, scopes) =>
        html`Sehen, dass Sie zu ${name} gehören, und dort diese Berechtigungen nutzen, soweit Sie sie haben: ${scopes}`,
    },
    registered: (client, brand) =>
      `${client} hat sich selbst registriert und wurde von niemandem bei ${brand} geprüft. Erlauben Sie es nur, wenn Sie wissen, woher die Anwendung kommt.`,
    destination: (host) => `Danach geht es weiter zu ${host}.`,
    device: 'Sie bleiben hier; Ihr Gerät macht von selbst weiter.',
    allow: 'Erlauben',
    deny: 'Ablehnen',
    otherAccount: 'Anderes Konto verwenden',
  },
  logout: {
    title: 'Abmelden?',
    lead: (brand) =>
      `Das beendet Ihre Sitzung bei ${brand} in diesem Browser, für alle Anwendungen, die sie verwenden.`,
    confirm: 'Abmelden',
    stay: 'Angemeldet bleiben',
    stayed: {
      title: 'Sie sind weiterhin angemeldet',
      text: 'Es wurde nichts beendet. Sie können diese Seite schließen.',
    },
    done: { title: 'Sie sind abgemeldet', text: 'Sie können diese Seite schließen.' },
    goOn: (host) => `Weiter zu ${host}`,
  },
  device: {
    title: 'Gerät verbinden',
    lead: 'Geben Sie den Code ein, den Ihr Gerät anzeigt.',
    compare: 'Zeigt Ihr Gerät diesen Code an? Wenn nicht, fahren Sie nicht fort.',
    label: 'Gerätecode',
    unknown:
      'Diesen Code gibt es nicht, oder er ist abgelaufen oder schon verwendet worden. Sehen Sie auf Ihr Gerät und geben Sie ihn noch einmal ein. Zeigt es genau diesen Code, lassen Sie es einen neuen anzeigen.',
    failed: {
      title: 'Das hat nicht geklappt',
      text: 'Es wurde nichts verbunden. Beginnen Sie neu mit dem Code Ihres Geräts.',
    },
    refused: {
      title: 'Das Gerät wurde nicht verbunden',
      text: 'Sie haben Nein gesagt. Sie können diese Seite schließen.',
    },
    again: 'Code eingeben',
    confirmTitle: 'Ist das Ihr Gerät?',
    confirm: (client) =>
      `${client} möchte mit Ihrem Konto verbunden werden. Ihr Gerät muss diesen Code anzeigen:`,
    warning:
      'Wenn jemand anderes Sie hierher geschickt hat oder Ihr Gerät einen anderen Code zeigt, sagen Sie Nein.',
    yes: 'Ja, verbinden',
    no: 'Nein',
    done: {
      title: 'Ihr Gerät ist verbunden',
      text: 'Gehen Sie zurück zu Ihrem Gerät. Sie können diese Seite schließen.',
    },
  },
  notices: {
    over: {
      title: 'Diese Anmeldung ist vorbei',
      text: 'Sie ist schon abgeschlossen oder hat zu lange gedauert. Um sich anzumelden, gehen Sie zurück zur Anwendung und beginnen Sie neu.',
      otherwise:
        'Wenn Sie wieder hier landen: Bleiben Sie von Anfang bis Ende im selben Browser, und erlauben Sie ihm Cookies dieser Website.',
    },
    suspended: {
      title: 'Die Anmeldung ist nicht verfügbar',
      text: 'Sie ist für diese Anwendung abgeschaltet. Fragen Sie, wer sie betreibt.',
    },
    unknownIssuer: {
      title: 'Seite nicht gefunden',
      text: 'Unter dieser Adresse gibt es nichts. Gehen Sie zurück zur Anwendung und beginnen Sie neu.',
    },
    outOfDate: {
      title: 'Diese Seite ist veraltet',
      text: 'Sie war zu lange oder in einem anderen Fenster offen. Es ist nichts geschehen.',
    },
    foreign: {
      title: 'Das kam von einer anderen Website',
      text: 'Eine andere Website hat versucht, diese Seite für Sie abzuschicken. Es ist nichts geschehen.',
    },
    malformed: {
      title: 'Diese Anfrage ist nicht lesbar',
      text: 'Gehen Sie zurück und versuchen Sie es noch einmal. Es ist nichts geschehen.',
    },
    unavailable: {
      title: 'Versuchen Sie es gleich noch einmal',
      text: 'Im Moment können wir Sie nicht anmelden. Es ist nichts verloren: Laden Sie diese Seite bald neu.',
    },
    failed: {
      title: 'Etwas ist schiefgegangen',
      text: 'Das liegt an uns, nicht an Ihnen. Gehen Sie zurück zur Anwendung und versuchen Sie es noch einmal.',
    },
    badRequest: {
      title: 'Diese Anfrage geht nicht weiter',
      text: 'Gehen Sie zurück zur Anwendung, von der Sie kommen, und versuchen Sie es noch einmal. Hilft das nicht, sagen Sie dem Betreiber:',
    },
  },
  received: {
    redirect_uri: 'Als redirect_uri kam Folgendes an, was keine der Redirect-URIs des Clients ist:',
    client_id: 'Als client_id kam Folgendes an, was die ID keines aktiven Clients dieses Ausstellers ist:',
    post_logout_redirect_uri:
      'Als post_logout_redirect_uri kam Folgendes an, was keine der Post-Logout-Redirect-URIs des Clients ist:',
  },
  again: 'Hier geht es weiter',
  wait: (seconds) =>
    seconds < 60
      ? counted(seconds, 'Sekunde', 'Sekunden')
      : seconds < 3600
        ? counted(Math.ceil(seconds / 60), 'Minute', 'Minuten')
        : counted(Math.ceil(seconds / 3600), 'Stunde', 'Stunden'),
};
