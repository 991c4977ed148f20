# What stands between replug and the Ruby file of a user: the words of ProxyMachine's configurations
# are defined here, and what replug asks (see `wire::ruby`) is answered with their blocks.
#
# It arrives over the socket that is its standard input; the words behind it are the file, and
# `strict` or nothing. Questions are read on a thread of their own, so that the end of replug is seen
# while a block runs; blocks run on the main thread, one at a time, in the order of the questions.

require 'logger'
require 'socket'

# What a configuration may use of ProxyMachine itself.
class ProxyMachine
  VERSION = '1.2.4'

  class << self
    attr_reader :router, :connect_error_callback, :inactivity_error_callback, :filter, :count
    attr_reader :max_count, :total_count

    def set_router(block = nil, &given)
      @router = block || given
    end

    def set_connect_error_callback(block = nil, &given)
      @connect_error_callback = block || given
    end

    def set_inactivity_error_callback(block = nil, &given)
      @inactivity_error_callback = block || given
    end

    def set_filter(block = nil, &given)
      @filter = block || given
    end

    def stats
      "#{count}/#{max_count}/#{total_count}"
    end

    def set_counts(count, max_count, total_count)
      @count, @max_count, @total_count = count, max_count, total_count
    end

    # replug listens; a configuration that runs itself has nothing more to do.
    def run(*) end
  end

  set_counts(0, 0, 0)
end

module Kernel
  def proxy(block = nil, &given)
    ProxyMachine.set_router(block || given)
  end

  def proxy_connect_error(&block)
    ProxyMachine.set_connect_error_callback(block)
  end

  def proxy_inactivity_error(&block)
    ProxyMachine.set_inactivity_error_callback(block)
  end

  def proxyfilter(&block)
    ProxyMachine.set_filter(block)
  end
end

# `require 'proxymachine'` finds it loaded.
$LOADED_FEATURES << 'proxymachine.rb' << 'proxymachine'

module Replug
  # Longest frame in either direction, in bytes behind the word that says its length.
  FRAME_BYTES_MAX = 1 << 20

  # What the heap of a worker may grow to, in bytes.
  MEMORY_MAX = 2 << 30

  WAIT, GO, CLOSE, FAILED, DONE = 0, 1, 2, 3, 4

  # What becomes of a question whose block has answered with something else.
  class Unusable < StandardError; end

  # The second argument of a block that takes one.
  Conn = Struct.new(:client, :server) do
    def client_ip = split(client)[0]
    def client_port = split(client)[1]
    def server_ip = split(server)[0]
    def server_port = split(server)[1]
    alias_method :peer, :client
    alias_method :local, :server

    private

    def split(address)
      host, _, port = address.rpartition(':')
      [host.delete('[]'), port.to_i]
    end
  end

  # The lines of LOGGER, on their way to replug's log with their severity.
  class Device
    def initialize(worker) = @worker = worker
    def close = nil

    def write(text)
      match = /\A\0(\d)/.match(text)
      @worker.log(match ? match[1].to_i : 1, match ? match.post_match : text)
    end
  end

  # Blocks, called as methods: `return` leaves them, and they take none, one or two arguments.
  class Block
    def self.of(block, strict)
      block && new(block, strict)
    end

    def initialize(block, strict)
      @call = block
      @count = 1
      return if strict

      positional = block.respond_to?(:parameters) ? block.parameters.map(&:first) : [:req]
      named = positional.count { |kind| kind == :req || kind == :opt }
      @count = named.zero? && positional.include?(:rest) ? 1 : named
      @call = as_method(block)
    end

    def call(*arguments)
      @call.call(*Array.new(@count) { |at| arguments[at] })
    end

    private

    def as_method(block)
      return block if !block.is_a?(Proc) || block.lambda?

      owner = block.binding.receiver
      name = :"__replug_block_#{object_id}"
      owner.define_singleton_method(name, &block)
      owner.method(name)
    rescue ArgumentError, TypeError, FrozenError
      # Those of methods and symbols have no receiver of their own, some receivers take no methods.
      block
    end
  end

  # One worker: answers what it is asked, until nobody asks any more.
  class Worker
    def initialize(socket, strict)
      @socket, @strict = socket, strict
      @mutex, @questions = Mutex.new, Queue.new
    end

    def log(severity, text)
      send_frame('L', 0, [severity.clamp(0, 4)].pack('C') << text.to_s.b.byteslice(0, 16_384))
    end

    def send_frame(type, id, body)
      frame = [body.bytesize + 9, type, id].pack('Na1Q>') << body
      @mutex.synchronize { @socket.write(frame) }
    rescue SystemCallError, IOError
      exit!(0)
    end

    # Loads the file, and says what is in it.
    def load_file(file)
      load(file)
      ready
    rescue SystemExit => e
      fatal("it has called exit(#{e.status})")
    rescue Exception => e
      at = e.is_a?(SyntaxError) ? '' : " (#{e.backtrace&.first})"
      fatal("#{e.class}: #{e.message}#{at}")
    end

    def run(event_machine)
      reader = Thread.new { read }
      reader.report_on_exception = true
      return loop { answer(*@questions.pop) } unless event_machine

      @answers_within = event_machine
      event_machine.run { answer_within until @questions.empty? }
    end

    private

    def ready
      @router = Block.of(ProxyMachine.router, @strict)
      @connect_error = Block.of(ProxyMachine.connect_error_callback, @strict)
      @inactivity = Block.of(ProxyMachine.inactivity_error_callback, @strict)
      @filter = Block.of(ProxyMachine.filter, @strict)
      return fatal('it has no `proxy` block') unless @router || @filter

      there = [@router, @connect_error, @inactivity, @filter]
      flags = there.each_with_index.sum { |block, at| block ? 1 << at : 0 }
      send_frame('Y', 0, [flags].pack('C') << RUBY_VERSION)
    end

    def fatal(text)
      send_frame('X', 0, text.b.byteslice(0, 16_384))
      $stdout.flush
      exit!(1)
    end

    def read
      while (head = @socket.read(4))&.bytesize == 4
        length = head.unpack1('N')
        break unless length.between?(9, FRAME_BYTES_MAX)

        frame = @socket.read(length)
        break unless frame&.bytesize == length

        take(*frame.unpack('a1Q>a*'))
      end
    ensure
      # Nobody waits for anything any more, whatever a block is at.
      exit!(0)
    end

    def take(type, id, body)
      return retitle(body) if type == 'T'

      @questions << [type, id, body]
      # A reactor that does not run yet looks at them once it does.
      @answers_within.next_tick { answer_within } if @answers_within&.reactor_running?
    end

    def answer_within
      answer(*@questions.pop(true)) unless @questions.empty?
    end

    def retitle(body)
      count, max, total, title = body.unpack('Q>Q>Q>a*')
      ProxyMachine.set_counts(count, max, total)
      $0 = title.force_encoding(Encoding::UTF_8)
    end

    def answer(type, id, body)
      case type
      when 'R' then route(id, body)
      when 'C' then call_back(id, @connect_error, body)
      when 'I' then call_back(id, @inactivity, body)
      when 'F' then filter(id, body)
      end
    rescue StandardError, LocalJumpError, UncaughtThrowError => e
      failed(id, e)
    rescue Exception => e
      # What is left of the process is not to be trusted; the next one begins afresh.
      failed(id, e)
      $stdout.flush
      exit!(1)
    end

    def failed(id, error)
      text = "#{error.class} - #{error.message}"
      text += " (#{error.backtrace.first})" unless error.is_a?(Unusable) || !error.backtrace
      LOGGER.error(text) unless LOGGER.equal?(OWN_LOGGER)
      send_frame('D', id, [FAILED].pack('C') << field('x', text.b.byteslice(0, 16_384)))
    end

    def route(id, body)
      client_length = body.unpack1('n')
      client = body.byteslice(2, client_length)
      server_length = body.unpack1('n', offset: 2 + client_length)
      server = body.byteslice(4 + client_length, server_length)
      data = body.byteslice((4 + client_length + server_length)..).force_encoding(Encoding::BINARY)
      raise NameError, 'no proxy block is defined' unless @router

      decided = @router.call(data, Conn.new(client, server))
      decide(id, decided)
    end

    def call_back(id, block, body)
      decided = block&.call(body.dup.force_encoding(Encoding::UTF_8))
      is_decision = !@strict && decided.is_a?(Hash) && (decided[:remote] || decided[:close])
      return decide(id, decided) if is_decision

      send_frame('D', id, [DONE].pack('C'))
    end

    def filter(id, body)
      filtered = @filter&.call(body.b)
      filtered = body if filtered.nil?
      raise Unusable, 'the proxyfilter gives more than 1 MiB' if filtered.to_s.bytesize > FRAME_BYTES_MAX - 9

      send_frame('F', id, filtered.to_s.b)
    end

    def decide(id, decided)
      body = decision(decided).b
      raise Unusable, "the block's answer is longer than 1 MiB" if body.bytesize > FRAME_BYTES_MAX - 9

      send_frame('D', id, body)
    end

    def decision(decided)
      decided = failover(decided) if decided.is_a?(Array) && !@strict
      return [WAIT].pack('C') if decided.nil? && !@strict
      raise Unusable, "the block has returned #{shown(decided)} instead of a Hash" unless decided.is_a?(Hash)

      seen = field('s', shown(decided))
      if decided[:remote]
        [GO].pack('C') << seen << remotes(decided[:remote]) << extras(decided)
      elsif decided[:pool] && !@strict
        [GO].pack('C') << seen << field('p', decided[:pool].to_s) << extras(decided)
      elsif decided[:close]
        text = decided[:close] == true ? ''.b : field('x', decided[:close].to_s)
        [CLOSE].pack('C') << seen << text
      elsif decided[:noop]
        [WAIT].pack('C') << seen
      else
        [CLOSE].pack('C') << seen
      end
    end

    # Several hashes, each with a remote: the next is tried when one cannot be reached.
    def failover(all)
      return all if all.empty? || !all.all? { |one| one.is_a?(Hash) && one[:remote] }

      all.first.merge(remote: all.map { |one| one[:remote] })
    end

    def remotes(wanted)
      raise Unusable, "the block has returned #{shown(wanted)} as a remote" if wanted.is_a?(Array) && @strict

      Array(wanted).map { |one| field('R', remote(one)) }.join.b
    end

    # `host:port`, of the first line that looks like it; the last colon stands before the port.
    def remote(wanted)
      unless wanted.is_a?(String) || wanted.is_a?(Symbol)
        raise Unusable, "the block has returned #{shown(wanted)} as a remote"
      end

      text = wanted.to_s.b
      return text if text.start_with?('unix:') && !@strict

      host, port = text.match(/^(.+):(.+)$/)&.captures
      raise Unusable, "the remote #{shown(wanted)} has no port" unless host

      host.include?(':') && !host.start_with?('[') ? "[#{host}]:#{port}" : "#{host}:#{port}"
    end

    def extras(decided)
      out = ''.b
      out << field('d', decided[:data].to_s) if decided[:data]
      out << field('r', decided[:reply].to_s) if decided[:reply]
      out << duration('c', decided[:connect_timeout]) << duration('i', decided[:inactivity_timeout])
      out << field('n', [decided[:retries].to_i.clamp(0, 100)].pack('Q>')) if decided[:retries] && !@strict
      out
    end

    # Seconds as microseconds; what is no time at all says nothing.
    def duration(tag, seconds)
      seconds = seconds.to_f
      return ''.b unless seconds.finite? && seconds.positive?

      field(tag, [(seconds.clamp(0.001, 1e9) * 1_000_000).round].pack('Q>'))
    end

    def field(tag, bytes)
      [tag, bytes.bytesize].pack('a1N') << bytes.b
    end

    # For the log: what clients send and get does not belong there.
    def shown(value)
      hidden = value
      if value.is_a?(Hash)
        hidden = value.dup
        %i[data reply].each { |key| hidden[key] = "(#{value[key].to_s.bytesize} bytes)" if value[key] }
      end
      hidden.inspect.b.byteslice(0, 1_024)
    end
  end

  # Has the kernel end this process when replug ends, whatever it is at.
  def self.end_with_parent
    number = { 'x86_64' => 157, 'aarch64' => 167, 'riscv64' => 167 }[RUBY_PLATFORM[/\A\w+/]]
    verbose, $VERBOSE = $VERBOSE, nil
    syscall(number, 1, 9, 0, 0, 0) if number && RUBY_PLATFORM.include?('linux')
  rescue SystemCallError, NotImplementedError
    # The end of the socket is seen as well.
  ensure
    $VERBOSE = verbose
  end

  def self.limit_memory
    _, hard = Process.getrlimit(:DATA)
    Process.setrlimit(:DATA, [MEMORY_MAX, hard].min, hard)
  rescue SystemCallError, ArgumentError
    # Where there is no such limit there is none.
  end

  def self.event_machine
    require 'eventmachine'
    EventMachine
  rescue LoadError
    nil
  end

  # Where the lines of LOGGER go, unless the file gives it another place.
  def self.logger(worker)
    logger = Logger.new(Device.new(worker))
    logger.formatter = proc { |severity, _, _, message|
      number = %w[DEBUG INFO WARN ERROR FATAL].index(severity) || 1
      text = message.is_a?(Exception) ? "#{message.class} - #{message.message}" : message
      "\0#{number}#{text.is_a?(String) ? text : text.inspect}"
    }
    logger
  end

  # Takes the socket from standard input, which is empty from then on, and serves.
  def self.boot
    file, strict = ARGV
    ARGV.clear
    first = UNIXSocket.for_fd(0)
    first.autoclose = false
    socket = first.dup
    $stdin.reopen(File::NULL)
    socket.sync = $stdout.sync = $stderr.sync = true
    end_with_parent
    limit_memory
    $0 = "proxymachine worker - #{File.basename(file, '.rb')}"
    worker = Worker.new(socket, strict == 'strict')
    const_set(:OWN_LOGGER, logger(worker))
    Object.const_set(:LOGGER, OWN_LOGGER)
    machine = event_machine
    worker.load_file(file)
    worker.run(machine)
  end
end
