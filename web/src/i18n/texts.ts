/** Every text of the page, in English and in Korean. English has a form for one after a bar. */

import { both } from './language'

// Signing in
export const signIn = both('Sign in', '로그인')
export const signOut = both('Sign out', '로그아웃')
export const welcome = both('Group chat in which nothing is lost', '메시지를 하나도 잃지 않는 단톡방')
export const yourName = both('Your name', '이름')
export const nameHint = both(
  'No spaces. Add a device if you like: alice/phone',
  '띄어쓰기 없이. 기기를 붙여도 됩니다: alice/phone',
)
export const token = both('Token', '토큰')
export const tokenHint = both(
  'This server asks for a token. Its operator can issue one.',
  '이 서버에는 토큰이 필요합니다. 운영자에게 받으세요.',
)
export const tokenWrong = both(
  'The server does not accept this name with this token.',
  '이 이름과 토큰으로는 로그인할 수 없습니다.',
)
export const tokenEnded = both('Your token has expired or was revoked.', '토큰이 만료되었거나 취소되었습니다.')
export const rememberMe = both('Remember me on this device', '이 기기에서 로그인 유지')
export const rememberHint = both(
  'Keeps your name and token in this browser until you sign out.',
  '로그아웃할 때까지 이름과 토큰을 이 브라우저에 저장합니다.',
)
export const signingIn = both('Signing in…', '로그인하는 중…')

// Connection
export const connecting = both('Connecting…', '연결하는 중…')
export const offline = both('No connection. Next attempt in {n} s.', '연결이 끊겼습니다. {n}초 뒤에 다시 시도합니다.')
export const offlineNow = both('No connection. Trying again…', '연결이 끊겼습니다. 다시 시도하는 중…')
export const offlineWaiting = both(
  '{n} messages wait on this device.|{n} message waits on this device.',
  '메시지 {n}개가 이 기기에서 전송을 기다립니다.',
)
export const tryNow = both('Try now', '지금 시도')
export const back = both('Connected again', '다시 연결되었습니다')
export const sending = both('Sending {n} messages…|Sending {n} message…', '메시지 {n}개를 보내는 중…')
export const epoch = both(
  'The rooms were restored from a backup. Messages sent since then may be gone.',
  '백업에서 복원된 서버입니다. 그 뒤에 보낸 메시지는 사라졌을 수 있습니다.',
)
export const setBack = both(
  'This room was set back to an older state. Messages sent since then may be gone.',
  '이 방은 이전 상태로 되돌려졌습니다. 그 뒤에 보낸 메시지는 사라졌을 수 있습니다.',
)
export const memoryOnly = both(
  'This browser stores nothing in this window. Unsent messages are lost if you close it.',
  '이 창에는 아무것도 저장되지 않습니다. 창을 닫으면 보내지 못한 메시지를 잃습니다.',
)
export const dismiss = both('Dismiss', '닫기')

// Rooms
export const rooms = both('Rooms', '대화방')
export const yourRooms = both('Your rooms', '내 대화방')
export const otherRooms = both('Other rooms', '다른 대화방')
export const noRooms = both(
  'You are in no room yet. Create one, or join one below.',
  '아직 들어간 방이 없습니다. 새로 만들거나 아래에서 들어가세요.',
)
export const noRoomsAtAll = both(
  'There are no rooms yet. Create the first one.',
  '아직 방이 없습니다. 첫 방을 만들어 보세요.',
)
export const findRoom = both('Find a room', '방 찾기')
export const moreRooms = both(
  '{n} more: find them by name|{n} more: find it by name',
  '그 밖에 {n}개: 이름으로 찾으세요',
)
export const newRoom = both('New room', '새 방')
export const unreadOf = both('unread', '안 읽은 메시지')
export const privateRoom = both('private', '비공개')
export const openRoom = both('Open a room on the left, or create one.', '왼쪽에서 방을 고르거나 새로 만드세요.')
export const nothingFound = both('No room of this name.', '그런 이름의 방이 없습니다.')
export const createNamed = both('Create {room}', '‘{room}’ 방 만들기')
export const menu = both('More', '더 보기')
export const backToRooms = both('Back to the rooms', '방 목록으로')
export const people = both('People', '참여자')
export const jumpToDate = both('Jump to a date', '날짜로 이동')
export const date = both('Date', '날짜')
export const go = both('Go', '이동')
export const nothingSince = both('No messages on that day or after it.', '그날 이후의 메시지가 없습니다.')
export const inviteSomeone = both('Invite…', '초대…')
export const editTopic = both('Change topic…', '주제 바꾸기…')
export const leaveRoom = both('Leave room', '방에서 나가기')
export const deleteRoom = both('Delete room…', '방 삭제…')
export const notifyRoom = both('Notify me about this room', '이 방의 알림 받기')
export const notJoined = both('You are not a member of this room.', '아직 이 방의 참여자가 아닙니다.')
export const join = both('Join', '들어가기')
export const joinFailed = both('You cannot join this room: {text}', '이 방에 들어갈 수 없습니다: {text}')
export const roomGone = both(
  '{room} was deleted, or you are no longer a member.',
  '{room} 방이 삭제되었거나 더 이상 참여자가 아닙니다.',
)
export const roomMissing = both(
  'There is no room {room}, or you may not see it.',
  '{room} 방이 없거나 볼 수 없는 방입니다.',
)
export const close = both('Close', '닫기')
export const cancel = both('Cancel', '취소')
export const save = both('Save', '저장')
export const create = both('Create', '만들기')
export const roomName = both('Name', '이름')
export const roomNameHint = both('Up to 64 bytes, without spaces', '띄어쓰기 없이 64바이트까지 (한글 21자)')
export const topic = both('Topic', '주제')
export const topicHint = both('What the room is for', '무엇을 이야기하는 방인지')
export const makePrivate = both('Private: only people you invite see it', '비공개: 초대받은 사람에게만 보입니다')
export const deleteConfirm = both(
  'This deletes {room} and everything in it, for everybody. Type its name to confirm.',
  '{room} 방과 그 안의 모든 것이 모두에게서 삭제됩니다. 확인을 위해 방 이름을 입력하세요.',
)
export const deleteIt = both('Delete', '삭제')
export const invite = both('Invite', '초대')
export const personName = both('Name', '이름')
export const inviteHint = both('The person’s name, without a device', '기기 없이 사람 이름만')
export const invited = both(
  '{name} can now see and join this room.',
  '이제 {name} 님이 이 방을 보고 들어올 수 있습니다.',
)
export const owner = both('owner', '방장')
export const invitedState = both('Invited', '초대됨')
export const bannedState = both('Banned', '차단됨')

// People
export const hereNow = both('Here now', '접속 중')
export const away = both('Offline', '오프라인')
export const you = both('you', '나')
export const sinceTime = both('since {time}', '{time}부터')
export const kick = both('Remove from room', '내보내기')
export const ban = both('Remove and ban', '내보내고 차단')
export const unban = both('Lift ban', '차단 해제')
export const morePeople = both('and {n} more', '그 밖에 {n}명')
export const joinedNote = both('{name} joined', '{name} 님이 들어왔습니다')
export const leftNote = both('{name} left', '{name} 님이 나갔습니다')
export const nickNote = both('{name} is now shown as {nick}', '{name} 님의 별명: {nick}')
export const typingOne = both('{name} is typing…', '{name} 님이 입력하는 중…')
export const typingSome = both('{names} are typing…', '{names} 님이 입력하는 중…')
export const typingMany = both('{n} people are typing…', '{n}명이 입력하는 중…')

// Messages
export const messages = both('Messages in {room}', '{room} 방의 메시지')
export const today = both('Today', '오늘')
export const yesterday = both('Yesterday', '어제')
export const unreadLine = both('New', '여기까지 읽으셨습니다')
export const gap = both(
  'Messages {from} to {to} are past their retention',
  '{from}번부터 {to}번까지의 메시지는 보관 기간이 지났습니다',
)
export const roomStart = both('This is the beginning of {room}.', '{room} 방의 시작입니다.')
export const oldest = both('Older messages are past their retention.', '그 이전의 메시지는 보관 기간이 지났습니다.')
export const loading = both('Loading…', '불러오는 중…')
export const loadFailed = both('Could not load: {text}', '불러오지 못했습니다: {text}')
export const toLatest = both('To the latest', '맨 아래로')
export const newBelow = both('{n} new messages|{n} new message', '새 메시지 {n}개')
export const reply = both('Reply', '답장')
export const redact = both('Take back', '삭제')
export const redactConfirm = both(
  'Take this message back? Its text is erased for everybody.',
  '이 메시지를 삭제할까요? 모두에게서 내용이 사라집니다.',
)
export const copy = both('Copy text', '복사')
export const redacted = both('This message was taken back', '삭제된 메시지입니다')
export const bytes = both('{n} bytes that are not text', '텍스트가 아닌 {n}바이트')
export const replyTo = both('Reply to {name}', '{name} 님에게 답장')
export const replyGone = both('a message that is gone', '사라진 메시지')
export const showAll = both('Show all', '모두 보기')
export const showLess = both('Show less', '접기')
export const waiting = both('waiting to be sent', '전송 대기 중')
export const onDisk = both('on disk', '서버 디스크에 저장됨')
export const readBy = both('read by {n}', '{n}명 읽음')
export const refused = both('Not sent: {text}', '보내지 못함: {text}')
export const retry = both('Send again', '다시 보내기')
export const discard = both('Discard', '버리기')
export const edit = both('Edit', '수정')
export const said = both('{name}: {text}', '{name}: {text}')
export const newMessages = both('{n} new messages', '새 메시지 {n}개')

// Composer
export const writeTo = both('Message {room}', '{room} 방에 보낼 메시지')
export const send = both('Send', '보내기')
export const tooLong = both('Too long: {n} of {max} bytes', '너무 깁니다: {max}바이트 중 {n}바이트')
export const cancelReply = both('Cancel reply', '답장 취소')
export const notStored = both(
  'Could not store your message: {text}. It was not sent.',
  '메시지를 저장하지 못했습니다: {text}. 보내지 않았습니다.',
)
export const noRoomOpen = both('No room is open.', '열린 방이 없습니다.')
export const nothingToReply = both('There is no message to reply to.', '답장할 메시지가 없습니다.')
export const nothingToRedact = both(
  'You have no message here to take back.',
  '여기에 삭제할 수 있는 내 메시지가 없습니다.',
)
export const notStoredYet = both(
  'Your last message is not on disk yet.',
  '마지막 메시지가 아직 디스크에 저장되지 않았습니다.',
)
export const usage = both('Usage: {usage}', '사용법: {usage}')
export const unknownCommand = both(
  'There is no command /{verb}. /help lists them; //{verb} sends it as a message.',
  '/{verb} 명령은 없습니다. 목록은 /help, 메시지로 보내려면 //{verb}',
)
export const deleteOther = both(
  'To delete {room}, open it and type /delete {room}',
  '{room} 방을 삭제하려면 그 방을 열고 /delete {room}',
)
export const noTopic = both('This room has no topic.', '이 방에는 주제가 없습니다.')
export const failed = both('That did not work: {text}', '실패했습니다: {text}')
export const notConnected = both('there is no connection', '연결이 끊겨 있습니다')
export const nickSet = both('You are now shown as {nick}.', '이제 ‘{nick}’ 별명으로 표시됩니다.')

// Settings and help
export const settings = both('Settings', '설정')
export const nickname = both('Shown as', '별명')
export const nickHint = both('What others see beside your name', '이름 옆에 보이는 별명')
export const notifications = both('Notifications', '알림')
export const notifyOn = both('Turn on notifications', '알림 켜기')
export const notifyIsOn = both(
  'On: you are told of messages while this page is in the background.',
  '켜짐: 이 페이지가 뒤에 있을 때 메시지를 알립니다.',
)
export const notifyDenied = both(
  'This browser blocks them. Allow them in its settings for this page.',
  '브라우저가 막고 있습니다. 이 페이지의 브라우저 설정에서 허용하세요.',
)
export const notifyNone = both(
  'This browser has none for this page; the number in the title remains.',
  '이 브라우저에서는 쓸 수 없습니다. 제목의 숫자는 그대로 보입니다.',
)
export const notifyMore = both('{n} unread in {room}', '{room}: 안 읽은 메시지 {n}개')
export const help = both('Help', '도움말')
export const keysHelp = both('Keys', '단축키')
export const commandsHelp = both('Commands', '명령')
export const kSwitch = both('find a room', '방 찾기')
export const kNext = both('next or previous room', '다음 방, 이전 방')
export const kSelect = both('select a message', '메시지 고르기')
export const kReply = both('reply to the selected message', '고른 메시지에 답장')
export const kRedact = both('take it back', '고른 메시지 삭제')
export const kCopy = both('copy it', '고른 메시지 복사')
export const kEsc = both('close, cancel, or go to the latest message', '닫기, 취소, 맨 아래로')
export const kRegions = both('go to the next part of the page', '화면의 다음 부분으로')
export const kNewline = both('new line', '줄 바꿈')
export const kPage = both('scroll', '스크롤')
export const cReply = both(
  'reply to the selected message, or to the last one that is not yours',
  '고른 메시지나 다른 사람의 마지막 메시지에 답장',
)
export const cRedact = both(
  'take back the selected message, or your own last one',
  '고른 메시지나 내 마지막 메시지 삭제',
)
export const cJoin = both('become a member; creates the room if it does not exist', '방에 들어가기. 없으면 만듭니다')
export const cCreate = both('create a room', '방 만들기')
export const cTopic = both('show, set or clear the topic', '주제 보기, 정하기, 없애기')
export const cInvite = both('let a person see and join this private room', '비공개 방에 초대하기')
export const cKick = both('remove a person from this room', '방에서 내보내기')
export const cBan = both('remove a person and keep them out', '내보내고 못 들어오게 하기')
export const cUnban = both('let them join again', '다시 들어올 수 있게 하기')
export const cLeave = both('stop being a member', '방에서 나가기')
export const cDelete = both(
  'delete this room and everything in it, for everybody',
  '이 방과 그 안의 모든 것을 모두에게서 삭제',
)
export const cNick = both('set the name that others see', '다른 사람에게 보일 별명 정하기')
export const cDate = both('jump to a date', '날짜로 이동')
export const cWho = both('show who is here', '참여자 보기')
export const cRooms = both('find a room', '방 찾기')
export const cHelp = both('show this help', '도움말 보기')
export const cQuit = both('sign out; unsent messages are kept', '로그아웃. 보내지 못한 메시지는 남습니다')
export const version = both(
  'Server {version}. Messages are kept for {days} days.|Server {version}. Messages are kept for {days} day.',
  '서버 {version}. 메시지는 {days}일 동안 보관됩니다.',
)

// Errors, by code; others are told in the daemon's own words
export const denied = both('you may not do this here', '권한이 없습니다')
export const notAMember = both('not a member of this room', '이 방의 참여자가 아닙니다')
export const noRoom = both('there is no such room, or you may not see it', '그런 방이 없거나 볼 수 없는 방입니다')
export const roomExists = both('there is a room of this name already', '같은 이름의 방이 이미 있습니다')
export const storageFailed = both(
  'the server’s disk is full or has failed',
  '서버의 디스크가 가득 찼거나 고장 났습니다',
)
export const stopping = both('the server is stopping', '서버가 멈추는 중입니다')
export const messageTooLong = both('it is too long', '너무 깁니다')
export const anotherRoom = both(
  'the room was deleted; this is a new one with its name',
  '방이 삭제되었고 같은 이름의 새 방입니다',
)
